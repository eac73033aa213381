// Runs npm `centrifuge` into the edges of what a gateway supports, and prints what the application observes: one JSON
// object per line. The driver cannot do this: its harness has no text with half of a surrogate pair.
// Called with a part, `protobuf` or `half-emoji`, and the URL of a gateway; `tests/e2e` evaluates the lines.
import { EventEmitter, once } from 'node:events';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';

const [, , part, url] = process.argv;

/** The first half of an emoji, as a text that was cut at a fixed length ends. */
const HALF = '\ud83d';

/** Calls that complete before the end of a case: several times the delay of a reconnect. */
const CALLS = 200;

/** The SDK reconnects almost at once, so that a reconnect is seen before the end of a case. */
const RECONNECT = { minReconnectDelay: 1, maxReconnectDelay: 1 };

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** A client with its number of connections and its disconnects. */
function client(Sdk, options) {
  const seen = { sockets: 0, disconnects: [] };
  class Counted extends WebSocket {
    constructor(...args) {
      super(...args);
      seen.sockets += 1;
    }
  }
  const sdk = new Sdk(url, { websocket: Counted, ...RECONNECT, ...options });
  sdk.on('connecting', ({ code }) => code >= 3000 && seen.disconnects.push(code));
  sdk.on('disconnected', ({ code }) => code >= 3000 && seen.disconnects.push(code));
  return { sdk, seen };
}

/** Resolves once `CALLS` calls of a JSON client have their replies. */
async function manyCalls(sdk) {
  for (let call = 0; call < CALLS; call += 1) {
    await sdk.presence('edges').catch(() => {});
  }
}

const outcome = (call) => call.then(() => 'ok', (error) => error.code ?? String(error));

async function connect(sdk) {
  const connected = once(sdk, 'connected');
  sdk.connect();
  await connected;
}

async function protobuf() {
  const { sdk, seen } = client(ProtobufCentrifuge, {});
  const disconnected = once(sdk, 'disconnected');
  sdk.connect();
  const [{ code }] = await disconnected;
  const other = client(Centrifuge, {});
  await connect(other.sdk);
  await manyCalls(other.sdk);
  print({ case: 'protobuf', code, state: sdk.state, ...seen });
}

async function subscribed(sdk, channel) {
  const subscription = sdk.newSubscription(channel);
  const ends = new EventEmitter();
  subscription.once('subscribed', () => ends.emit('end', 'ok'));
  subscription.once('unsubscribed', ({ code }) => ends.emit('end', code));
  subscription.once('error', ({ error }) => ends.emit('end', error.code));
  const end = once(ends, 'end');
  subscription.subscribe();
  const [result] = await end;
  subscription.unsubscribe();
  sdk.removeSubscription(subscription);
  return result;
}

const CASES = {
  'channel of subscribe': (sdk) => subscribed(sdk, `news${HALF}`),
  'channel of publish': (sdk) => outcome(sdk.publish(`news${HALF}`, 1)),
  'data of publish': (sdk) => outcome(sdk.publish('news', `cut${HALF}`)),
  'channel of history': (sdk) => outcome(sdk.history(`news${HALF}`, { limit: 1 })),
  'channel of presence': (sdk) => outcome(sdk.presence(`news${HALF}`)),
  'method of rpc': (sdk) => outcome(sdk.rpc(`method${HALF}`, {})),
  'data of rpc': (sdk) => outcome(sdk.rpc('none', { text: HALF })),
  'channel in data of gw.publish': (sdk) =>
    outcome(sdk.rpc('gw.publish', { channel: `news${HALF}`, data: 1, idempotency_key: 'k' })),
  'key in data of gw.publish': (sdk) =>
    outcome(sdk.rpc('gw.publish', { channel: 'news', data: 1, idempotency_key: HALF })),
  'data in data of gw.publish': (sdk) =>
    outcome(sdk.rpc('gw.publish', { channel: 'news', data: HALF, idempotency_key: 'half' })),
};

async function halfEmoji() {
  const { sdk, seen } = client(Centrifuge, {});
  await connect(sdk);
  for (const [name, run] of Object.entries(CASES)) {
    const result = await run(sdk);
    const next = await outcome(sdk.publish('news', name));
    print({ case: name, result, next, state: sdk.state, ...seen });
  }
}

await (part === 'protobuf' ? protobuf() : halfEmoji());
process.exit(0);
