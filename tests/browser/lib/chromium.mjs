// SPDX-License-Identifier: Apache-2.0
/*
 * Starts the system's Chromium without a window. Nothing it sends may come from the browser itself, so all its own
 * background traffic is off; locale, time zone and window are fixed so that two runs differ in ids and times alone.
 */
import { chromium } from "playwright-core";

const QUIET = [
	"--no-sandbox",
	"--disable-gpu",
	"--disable-quic",
	"--no-first-run",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
];

export function launch(extraArgs = []) {
	return chromium.launch({
		executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
		headless: true,
		args: [...QUIET, ...extraArgs],
	});
}

export function newContext(browser, options = {}) {
	return browser.newContext({
		locale: "en-GB",
		timezoneId: "UTC",
		viewport: { width: 1280, height: 720 },
		...options,
	});
}
