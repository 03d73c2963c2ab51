// SPDX-License-Identifier: Apache-2.0
// The relay that a Node team would write: Express inflates and parses, the labels are set on the
// tree, the tree is printed again and posted to the receiver.
//
//   RECEIVER_URL=http://127.0.0.1:PORT/collect  CLIENT=undici|fetch  SOCKET=PATH  node server.js
//
// Not done here, though faro-ingest does it: ambiguous keys, limits on memory and on calls in
// flight, metrics, origin checks.
import express from 'express';
import { Pool } from 'undici';

const receiver = new URL(process.env.RECEIVER_URL);
const labels = {
  name: process.env.OTEL_SERVICE_NAME,
  namespace: process.env.APP_NAMESPACE,
  environment: process.env.APP_ENVIRONMENT,
  version: process.env.APP_VERSION,
};
const spanAttributes = Object.entries({
  'service.name': labels.name,
  'service.namespace': labels.namespace,
  'k8s.namespace.name': labels.namespace,
  'deployment.environment.name': labels.environment,
  'deployment.environment': labels.environment,
}).map(([key, stringValue]) => ({ key, value: { stringValue } }));
const ours = new Set(spanAttributes.map((attribute) => attribute.key));

function label(beacon) {
  const meta = (beacon.meta ??= {});
  const app = (meta.app ??= {});
  app.name = labels.name;
  app.namespace = labels.namespace;
  app.environment = labels.environment;
  app.version ??= labels.version;
  for (const span of beacon.traces?.resourceSpans ?? []) {
    const resource = (span.resource ??= {});
    const kept = (resource.attributes ?? []).filter(
      ({ key }) => !ours.has(key) && !key.startsWith('k8s.'),
    );
    resource.attributes = [...spanAttributes, ...kept];
  }
}

const headers = { 'content-type': 'application/json' };
const pool = new Pool(receiver.origin, { connections: 64 });

async function postByUndici(body) {
  const answer = await pool.request({ path: receiver.pathname, method: 'POST', headers, body });
  await answer.body.dump();
  return answer.statusCode;
}

async function postByFetch(body) {
  const answer = await fetch(receiver, { method: 'POST', headers, body });
  await answer.arrayBuffer();
  return answer.status;
}

const post = process.env.CLIENT === 'fetch' ? postByFetch : postByUndici;
const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.post(
  '/faro/collect',
  express.json({ limit: '5mb', type: ['application/json', 'text/plain'] }),
  async (request, response) => {
    label(request.body);
    response.sendStatus(await post(JSON.stringify(request.body)));
  },
);
app.listen(process.env.SOCKET);
