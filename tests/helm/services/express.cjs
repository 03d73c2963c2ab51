// SPDX-License-Identifier: Apache-2.0
/* A service as a team has it: a page, and nothing of ours but the script that the page names. */
const express = require("express");

const app = express();
app.get("/", (request, response) => response.send(
	"<!doctype html><title>express</title><script src=\"/faro/config.js\"></script>"));
/* What is not this service's is its own 404, never the gateway's. */
app.use((request, response) => response.status(404).send("express has no such page"));
app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("express listens"));
