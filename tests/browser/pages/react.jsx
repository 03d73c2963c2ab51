// SPDX-License-Identifier: Apache-2.0
/*
 * The shop in React: scenarios for an error in a component, for routes and for the profiler. Its SDK is the one that
 * @grafana/faro-react hands on; shop.js starts it as it starts the other.
 */
import * as sdk from "@grafana/faro-react";
import { TracingInstrumentation } from "@grafana/faro-web-tracing";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import {
	BrowserRouter, Link, Route, Routes, createRoutesFromChildren, matchRoutes, useLocation, useNavigationType, useParams,
} from "react-router";

const { FaroErrorBoundary, FaroRoutes, ReactIntegration, createReactRouterV7Options, withFaroProfiler } = sdk;

window.GrafanaFaroWebSdk = sdk;
window.GrafanaFaroWebTracing = { TracingInstrumentation };

const ITEMS = [
	{ sku: "TEA-01", name: "Tea", price: { amount: 4.2 } },
	{ sku: "ÇAY-02", name: "Çay 🍵" },
];

const Price = ({ item }) => <b>{item.price.amount} €</b>;

/* A component may have any name that JavaScript takes. */
const Größe = ({ item }) => <span><Price item={item} /></span>;

const Row = ({ item, count }) => <li>{item.name} × {count}</li>;

const PricedRow = ({ item }) => <li>{item.name}: <Größe item={item} /></li>;

const Sorry = ({ error }) => <p role="alert">Sorry: {error.message}</p>;

const ProfiledRow = withFaroProfiler(Row, { name: "Row – profiled" });

function render(element) {
	const root = createRoot(document.body.appendChild(document.createElement("main")));
	root.render(element);
	return window.shop.pause(200);
}

async function click(selector) {
	document.querySelector(selector).click();
	await window.shop.pause(200);
}

/* Once caught by the SDK's boundary, once by nobody. */
async function reactError() {
	const list = <ul>{ITEMS.map((item) => <PricedRow key={item.sku} item={item} />)}</ul>;

	await render(
		<FaroErrorBoundary
			fallback={(error) => <Sorry error={error} />}
			pushErrorOptions={{ context: { area: "cart", rows: 2 } }}
		>
			{list}
		</FaroErrorBoundary>,
	);
	await render(list);
}

function Item() {
	const { sku } = useParams();
	return <p>This is {sku}. <Link id="back" to="/shop/cart">Back</Link></p>;
}

async function reactRoutes() {
	await render(
		<BrowserRouter>
			<FaroRoutes>
				<Route path="/shop/cart" element={<Link id="item" to="/shop/items/ÇAY-02?from=cart">Çay</Link>} />
				<Route path="/shop/items/:sku" element={<Item />} />
			</FaroRoutes>
		</BrowserRouter>,
	);
	await click("#item");
	await click("#back");
}

/* Mounted, rendered twice and taken away: each is a span. */
function Counter() {
	const [count, setCount] = useState(1);
	return (
		<div>
			{count < 3 && <ProfiledRow item={ITEMS[0]} count={count} />}
			<button id="more" onClick={() => setCount(count + 1)}>More</button>
		</div>
	);
}

async function reactProfiler() {
	await render(<Counter />);
	await click("#more");
	await click("#more");
}

async function reactEverything(faro) {
	await reactRoutes();
	await reactProfiler();
	await reactError();
	await fetch("/api/orders/9");
	faro.api.pushMeasurement({ type: "cart", values: { rows: ITEMS.length } });
}

const dependencies = { createRoutesFromChildren, matchRoutes, Routes, useLocation, useNavigationType };

window.shop.extend(
	{ reactError, reactRoutes, reactProfiler, reactEverything },
	() => new ReactIntegration({ router: createReactRouterV7Options(dependencies) }),
);
