/* A page of another site that makes its visitors send to the collector in ?to=, in the way that needs no leave. */
"use strict";

document.getElementById("host").textContent = location.host;
fetch(new URLSearchParams(location.search).get("to"), {
	method: "POST",
	mode: "no-cors",
	headers: { "Content-Type": "text/plain" },
	body: JSON.stringify({ logs: [{ message: "from another site" }] }),
}).then(() => document.getElementById("said").append(" It has sent a beacon, and may not see the answer."));
