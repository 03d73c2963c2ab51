// SPDX-License-Identifier: Apache-2.0
/* What every error looks like, whoever answers. */
import assert from "node:assert/strict";

export function assertProblem(reply, status, reason) {
	assert.equal(reply.status, status);
	assert.equal(reply.headers["content-type"], "application/problem+json");
	assert.equal(reply.headers["cache-control"], "no-store");
	assert.equal(reply.json.status, status);
	assert.equal(reply.json.type, "about:blank");
	assert.equal(reply.json.reason, reason);
	assert.match(reply.json.title, /^[A-Z]/);
	assert.match(reply.json.detail, /\. .+\.$/, "a sentence on what is wrong, and one on what to do");
}

export function assertRetryAfter(reply) {
	assert.match(reply.headers["retry-after"], /^[1-5]$/);
}
