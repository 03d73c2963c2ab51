/* SPDX-License-Identifier: Apache-2.0 */
/* A pod that ends: browsers that go on sending until nothing listens any more. */
import { pause } from "./beacons.mjs";
import { post } from "./client.mjs";
import { smallBeacon } from "./faro.mjs";

/* What a second's traffic may be: more, or less, than a drain needs to find it quiet. */
export const RATES = [2, 1, 0.3];
export const PRE_STOP_MS = 5000;

/* → { statuses, gone }: those of all beacons that were answered, and a promise of the end. */
export function sendSteadily(port, rate) {
	const statuses = [];
	const refused = ({ code }) => ["ECONNREFUSED", "ECONNRESET"].includes(code);
	const run = async () => {
		for (;;) {
			try {
				statuses.push((await post(port, smallBeacon)).status);
			} catch (error) {
				if (refused(error)) return;
				throw error;
			}
			await pause(1000 / rate);
		}
	};
	return { statuses, gone: run() };
}
