// SPDX-License-Identifier: Apache-2.0
/*
 * The page that the beacons in examples/beacons are recorded from. record.mjs loads the SDK's bundles first and plays
 * one scenario; body[data-played] says that it is over. Plain and compressed beacon come from two transports of one SDK,
 * so both carry the same batch. react.jsx brings further scenarios, and the SDK that it was bundled with.
 */
"use strict";

window.shop = (() => {
	const more = []; // functions that make an instrumentation
	const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

	function start({ only, tracing, batching, session = true }) {
		const sdk = window.GrafanaFaroWebSdk;
		const collect = `${location.origin}/faro/collect`;
		const wanted = (one) => !only || only.some((name) => one.name.endsWith(`instrumentation-${name}`));
		const instrumentations = sdk
			.getWebInstrumentations({
				captureConsole: true,
				enablePerformanceInstrumentation: !only || only.includes("performance"),
				enableContentSecurityPolicyInstrumentation: true,
			})
			.filter(wanted);

		instrumentations.push(...more.map((make) => make()));
		if (window.GrafanaFaroInstrumentationReplay)
			instrumentations.push(new window.GrafanaFaroInstrumentationReplay.ReplayInstrumentation());
		if (tracing) instrumentations.push(new window.GrafanaFaroWebTracing.TracingInstrumentation());
		return sdk.initializeFaro({
			app: {
				name: "shop",
				namespace: "web",
				version: "1.42.0",
				release: "1.42.0+7f3c2d1",
				environment: "staging",
			},
			transports: [
				new sdk.FetchTransport({ url: collect }),
				new sdk.FetchTransport({ url: `${collect}/gzip`, requestCompression: true }),
			],
			sessionTracking: session
				? { session: { attributes: { plan: "trial", cohort: "naïve–β" } } }
				: { enabled: false },
			batching,
			instrumentations,
			/* All vitals, as they come: by default some wait until the page is left. */
			webVitalsInstrumentation: { reportAllChanges: true },
		});
	}

	/* A stack as a component library leaves it: the same few functions over and over. */
	function renderComponent(depth, fail) {
		return depth === 0 ? fail() : beginWork(depth - 1, fail);
	}
	function beginWork(depth, fail) {
		return depth === 0 ? fail() : performUnitOfWork(depth - 1, fail);
	}
	function performUnitOfWork(depth, fail) {
		return depth === 0 ? fail() : renderComponent(depth - 1, fail);
	}
	function deepError(message, depth) {
		const limit = Error.stackTraceLimit;
		Error.stackTraceLimit = depth;
		try {
			renderComponent(depth, () => {
				throw new TypeError(message);
			});
		} catch (error) {
			return error;
		} finally {
			Error.stackTraceLimit = limit;
		}
	}

	const inTurn = (step) => setTimeout(step, 0);

	async function errors(faro) {
		inTurn(() => {
			throw new RangeError('quantity −1 is out of range: "1…99"');
		});
		inTurn(() => Promise.reject(new Error("支払いに失敗しました 💳")));
		inTurn(() => Promise.reject("a rejection that is only a string"));
		inTurn(() => JSON.parse('{"total": 12,'));
		await pause(50);
		console.error("checkout failed", new Error("card declined"), { order: 4711, total: 12.5 });
		faro.api.pushError(deepError("Cannot read properties of undefined (reading 'price')", 60));
		faro.api.pushError(new Error("wrapped", { cause: new Error('connection reset\nby peer\tat byte 0') }), {
			type: "CheckoutError",
			fingerprint: "checkout-wrapped",
			fatal: true,
			context: { component: 'Cart > Row[3] > "Price"', step: 3, retry: false, nested: { a: [1, null] } },
		});
	}

	async function logs(faro) {
		console.info("cart opened", { items: 2, currency: "€" });
		console.warn("slow response", 1234.5, null, undefined, ["a", "b"]);
		console.info('ünïcödé: Ελληνικά, русский, עברית, 日本語, 👩‍👩‍👧‍👦, \u2028 and a \ttab');
		console.info(`cut in the middle of a character: ${"💳".slice(0, 1)}`);
		console.info('bytes: \u0000\u0007\u001b[1m\u007f \\ " / </script>');
		for (const level of ["trace", "debug", "info", "log", "warn", "error"]) {
			faro.api.pushLog([`a line at ${level}`, { level }], { level, context: { step: "payment", attempt: 2 } });
		}
	}

	async function events(faro) {
		faro.api.setUser({
			id: "u-1001",
			username: "mara",
			email: "mara@shop.example",
			fullName: "Mara Muster",
			roles: "buyer,editor",
			hash: "9f86d081",
			attributes: { tier: "gold" },
		});
		faro.api.setView({ name: "cart" });
		faro.api.setPage({ id: "cart-page", url: location.href, attributes: { layout: "wide" } });
		faro.api.setSession(
			{ ...faro.api.getSession(), attributes: { ...faro.api.getSession().attributes, plan: "paid" } },
			{ overrides: { serviceName: "another-service" } },
		);
		await pause(0);
		faro.api.pushEvent("cart_opened");
		faro.api.pushEvent("item_added", { sku: "TEA-01", count: 2, price: "4,20 €", gift: true, tags: ["new"] });
		faro.api.pushEvent("item_removed", { sku: "ÇAY-02" }, "cart", { timestampOverwriteMs: Date.now() - 60_000 });
	}

	async function measurements(faro) {
		const push = (type, values, context) => faro.api.pushMeasurement({ type, values }, { context });

		push("render", { first: 12, total: 123.456, skipped: 0 });
		push("edges", {
			negative: -0.5,
			tiny: 1.5e-7,
			huge: 1e21,
			above_2_53: 2 ** 53 + 2,
			max: Number.MAX_VALUE,
			zero: -0,
		});
		push("names", { "with space": 1, "größe": 2, "a.b-c/d": 3 }, { unit: "ms", sample: 1 });
		push("not-a-number", { ratio: NaN, infinite: Infinity });
	}

	async function vitals() {
		await pause(300);
		document.querySelector("#note").insertAdjacentHTML("beforebegin", '<p style="height:200px">Today only</p>');
	}

	async function orders(count) {
		for (let i = 0; i < count; i++) await fetch(`/api/orders/${1000 + i}?page=${i}`);
	}

	function viaXhr(path) {
		return new Promise((resolve) => {
			const xhr = new XMLHttpRequest();
			xhr.open("GET", path);
			xhr.onloadend = resolve;
			xhr.send();
		});
	}

	/* Every kind of attribute value there is, an event, a status and a child: what hand-made spans look like. */
	async function handMadeSpan(faro) {
		const { trace, context } = faro.api.getOTEL();
		const tracer = trace.getTracer("shop", "1.0.0");
		const parent = tracer.startSpan("checkout", {
			attributes: {
				"shop.items": 2,
				"shop.total": 12.5,
				"shop.gift": false,
				"shop.note": "für „Mara“",
				"shop.skus": ["TEA-01", "ÇAY-02"],
				"shop.large": 2 ** 53,
			},
		});

		await context.with(trace.setSpan(context.active(), parent), async () => {
			faro.api.pushEvent("inside_a_span");
			await fetch("/api/orders/7", { method: "POST", body: "{}" });
		});
		tracer.startSpan("linked", { links: [{ context: parent.spanContext(), attributes: { why: "retry" } }] }).end();
		parent.addEvent("paid", { method: "card" });
		parent.recordException(new Error("receipt printer is out of paper"));
		parent.setStatus({ code: 2, message: "printed without receipt" });
		parent.end();
	}

	async function traces(faro) {
		await orders(2);
		await fetch("/api/missing");
		await fetch("/api/broken", { method: "PUT", body: "x" });
		await viaXhr("/api/stock/TEA-01");
		await handMadeSpan(faro);
	}

	async function mixed(faro) {
		faro.api.pushEvent("cart_opened", { items: "2" });
		console.warn("stock is low", { sku: "TEA-01", left: 3 });
		faro.api.pushMeasurement({ type: "render", values: { total: 41.7 } });
		await errors(faro);
	}

	async function mixedWithTraces(faro) {
		await mixed(faro);
		await orders(2);
	}

	async function userAction(faro) {
		document.querySelector("#pay").addEventListener("click", async () => {
			await fetch("/api/orders/8", { method: "POST", body: "{}" });
			document.querySelector("#note").textContent = "Paid. Thank you!";
			faro.api.pushEvent("paid");
			console.info("payment done");
		});
	}

	/* Once what is not allowed in the page, once what is not allowed to be loaded. */
	async function violations() {
		const script = document.createElement("script");
		script.textContent = 'console.log("„inline“ is not allowed here")';
		document.body.append(script);
		document.body.append(Object.assign(new Image(), { src: "https://elsewhere.example/pixel.gif?a=1&b=%22" }));
		await pause(100);
	}

	async function everything(faro) {
		await userAction(faro);
		await violations();
		await vitals();
		await mixedWithTraces(faro);
	}

	/* Enough of a page that its first picture is large, and then somebody who uses it. */
	async function replay() {
		const rows = Array.from({ length: 150 }, (_, i) =>
			`<tr id="row-${i}" data-note='"quoted" \\ &amp; naïve'><td>№${i}</td><td>${i % 2 ? "Çay 🍵" : "Tea"}</td></tr>`);

		document.querySelector("#note").insertAdjacentHTML("afterend",
			`<style>td { padding: 2px }</style><table>${rows.join("")}</table><input id="coupon">`);
	}

	async function replayEverything(faro) {
		await userAction(faro);
		await replay();
		await mixedWithTraces(faro);
	}

	/* A page busy for a while: rounds of what a real one does, as many as the wanted size takes. */
	async function busy(faro, rounds) {
		for (let i = 0; i < rounds; i++) {
			console.info(`round ${i}: cart refreshed, ${i % 7} items, naïve café №${i}`);
			faro.api.pushMeasurement({ type: "render", values: { total: performance.now(), items: i % 7 } });
			await orders(1);
			if (i % 3 === 1) faro.api.pushError(deepError(`item ${i} has no price`, 25));
		}
	}

	async function small(faro) {
		await orders(1);
		faro.api.pushLog(["cart opened"]);
	}

	const medium = (faro) => busy(faro, 7);
	const large = (faro) => busy(faro, 106);
	const sessionStart = async () => {};
	const performanceEntries = async () => {
		await orders(1);
		await pause(1000);
	};

	const scenarios = {
		errors,
		logs,
		events,
		measurements,
		vitals,
		traces,
		mixed,
		mixedWithTraces,
		userAction,
		small,
		medium,
		large,
		sessionStart,
		performanceEntries,
		violations,
		everything,
		replay,
		replayEverything,
	};

	/* In a turn of its own, or the caller's frames would show in the stacks. */
	function play(name, options) {
		const faro = start(options);
		setTimeout(() => scenarios[name](faro).then(() => (document.body.dataset.played = name)), 0);
	}

	/* Further scenarios, and what makes an instrumentation for them. */
	function extend(others, make) {
		Object.assign(scenarios, others);
		more.push(make);
	}

	return { play, pause, extend };
})();
