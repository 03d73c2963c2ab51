// SPDX-License-Identifier: Apache-2.0
/* What tests do on a page: open it, start the SDK by hand on the blank one, and watch what is answered. */
import { newContext } from "./chromium.mjs";

export async function openPage(stage, browser, url, options) {
	const context = await newContext(browser, options);
	stage.after(() => context.close());
	const page = await context.newPage();
	await page.goto(url);
	return page;
}

export const openBlank = (stage, browser, origin, options) =>
	openPage(stage, browser, `${origin}/blank`, options);

/* options go to initializeFaro() on top of the two lines that every service needs; url may be relative. */
export function startSdk(page, { tracing = false, ...options } = {}) {
	return page.evaluate(
		([withTracing, given]) => {
			const sdk = window.GrafanaFaroWebSdk;
			const instrumentations = sdk.getWebInstrumentations();
			if (withTracing) instrumentations.push(new window.GrafanaFaroWebTracing.TracingInstrumentation());
			window.faro = sdk.initializeFaro({
				url: window.faroConfig.collectorUrl,
				app: window.faroConfig.app,
				instrumentations,
				...given,
			});
		},
		[tracing, options],
	);
}

export const pushLog = (page, text) => page.evaluate((line) => void window.faro.api.pushLog([line]), text);

/* Every answer to a POST of the page from now on, as { url, status, headers }; until(status) waits for one. */
export function watchReplies(page) {
	const replies = [];
	page.on("response", (response) => {
		if (response.request().method() !== "POST") return;
		replies.push({ url: response.url(), status: response.status(), headers: response.headers() });
	});
	replies.until = async (status) => {
		for (;;) {
			const found = replies.find((reply) => reply.status === status);
			if (found) return found;
			await page.waitForEvent("response");
		}
	};
	return replies;
}
