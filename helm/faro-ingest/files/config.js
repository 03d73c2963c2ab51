/*
 * Settings of this service for the Grafana Faro Web SDK. A classic script of the page's own origin, so
 * it runs under `Content-Security-Policy: script-src 'self'`:
 *
 *	<script src="/faro/config.js"></script>
 *
 * and in the bundle
 *
 *	initializeFaro({ url: faroConfig.collectorUrl, app: faroConfig.app });
 *
 * It defines one global:
 *
 *	faroConfig.collectorUrl  FARO_PATH as an absolute URL: with a relative one the SDK's tracing traces its
 *	                         own posts. Without /collect, which content blockers know; that is taken as well.
 *	                         The SDK leaves out of its resource timings every URL that begins with this one, so
 *	                         choose a path that no other path of the site begins with.
 *	faroConfig.app           name, namespace, environment, version; what is not known is left out
 *	faroConfig.appNames      all frontends behind this nginx (FARO_APP_NAMES); app.name is the first.
 *	                         Another of them: app: { ...faroConfig.app, name: "checkout" }
 *
 * The relay stamps name, namespace and environment on everything, whatever a page says here.
 */
(function () {
	"use strict";

	var settings = {
		path: "${FARO_PATH}", // FARO_PATH
		collectorUrl: "${FARO_JS_COLLECTOR_URL}", // only where browsers send to a public collector instead of path
		appNames: "${FARO_JS_APP_NAMES}", // comma list
		namespace: "${FARO_JS_NAMESPACE}",
		environment: "${FARO_JS_ENVIRONMENT}",
		version: "${FARO_JS_VERSION}",
	};

	// envsubst leaves a variable that nobody set as it stands.
	function value(name) {
		return settings[name].indexOf("${") === 0 ? "" : settings[name].trim();
	}

	var names = value("appNames")
		.split(",")
		.map(function (name) { return name.trim(); })
		.filter(Boolean);
	var app = { name: names[0] || "frontend" };
	["namespace", "environment", "version"].forEach(function (name) {
		if (value(name)) app[name] = value(name);
	});

	window.faroConfig = {
		collectorUrl: value("collectorUrl") ||
			new URL(location.origin + (value("path") || "/faro")).href,
		app: app,
		appNames: names.length ? names : [app.name],
	};
})();
