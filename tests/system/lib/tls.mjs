// SPDX-License-Identifier: Apache-2.0
/* A certificate of this machine that is its own authority. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const USUAL = ["-days", "2", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];

/* { key, cert } for node:tls, and the file `ca` for who is to trust it; `more` as openssl's arguments have it. */
export async function makeCertificate(stage, more = USUAL) {
	const [key, cert] = [stage.path("key.pem"), stage.path("cert.pem")];
	const made = await stage.finish("openssl", "openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", cert, ...more]);
	assert.equal(made.code, 0, made.stderr);
	return { key: readFileSync(key), cert: readFileSync(cert), ca: cert };
}
