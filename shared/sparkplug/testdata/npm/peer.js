// A peer for the tests: the npm package sparkplug-payload behind lines of JSON.
// Each request on stdin gets one answer on stdout:
//
//   {"op": "decode", "births": [BASE64...], "message": BASE64}
//     -> the payload, as describe() below writes it. Metrics that carry no datatype
//        get that of the births, by alias or name, as a host does it.
//   {"op": "recode", ...} -> the same message, decoded and written anew: BASE64
//   {"op": "encode", "payload": {...}} -> BASE64; 64-bit numbers come as text
'use strict';

const readline = require('readline');
const Long = require('long');
const {Payload} = require('sparkplug-payload/lib/sparkplugPayloadProto').org.eclipse.tahu.protobuf;
const sparkplug = require('sparkplug-payload').get('spBv1.0');

// withTypes returns the message with the datatypes that only its births name.
function withTypes(message, births) {
  const types = new Map();
  for (const birth of births) {
    for (const m of Payload.decode(birth).metrics) {
      types.set('name ' + m.name, m.datatype);
      if (m.hasOwnProperty('alias')) types.set('alias ' + m.alias, m.datatype);
    }
  }
  const payload = Payload.decode(message);
  for (const m of payload.metrics) {
    if (!m.hasOwnProperty('datatype')) {
      m.datatype = types.get(m.hasOwnProperty('alias') ? 'alias ' + m.alias : 'name ' + m.name);
    }
  }
  return Payload.encode(payload).finish();
}

// value writes floats as the hex digits of their bits, so that none is rounded.
function value(type, v) {
  if (v === null || v === undefined) return null;
  const b = Buffer.alloc(8);
  switch (type) {
    case 'Double':
      b.writeDoubleBE(v);
      return b.toString('hex');
    case 'Float':
      b.writeFloatBE(v);
      return b.toString('hex', 0, 4);
    case 'Bytes':
      return Buffer.from(v).toString('hex');
  }
  return String(v);
}

function describe(p) {
  return {
    timestamp: String(p.timestamp),
    seq: p.seq === undefined ? null : String(p.seq),
    uuid: p.uuid === undefined ? null : p.uuid,
    body: p.body === undefined ? null : Buffer.from(p.body).toString('hex'),
    metrics: (p.metrics || []).map((m) => ({
      name: m.name === undefined ? null : m.name,
      alias: m.alias === undefined ? null : String(m.alias),
      timestamp: m.timestamp === undefined ? null : String(m.timestamp),
      type: m.type,
      historical: m.isHistorical === true,
      value: value(m.type, m.value),
      properties: Object.fromEntries(Object.entries(m.properties || {}).map(
          ([key, prop]) => [key, prop.type + ' ' + value(prop.type, prop.value)])),
    })),
  };
}

// prepare makes of a request's payload what the package takes.
function prepare(p) {
  if (p.timestamp !== undefined) p.timestamp = Long.fromString(p.timestamp, true);
  if (p.body !== undefined) p.body = Buffer.from(p.body, 'hex');
  for (const m of p.metrics || []) {
    if (m.timestamp !== undefined) m.timestamp = Long.fromString(m.timestamp, true);
    if (m.alias !== undefined) m.alias = Long.fromString(m.alias, true);
    if (typeof m.value === 'string') {
      if (m.type === 'Int64') m.value = Long.fromString(m.value);
      if (['UInt32', 'UInt64', 'DateTime'].includes(m.type)) m.value = Long.fromString(m.value, true);
      if (m.type === 'Bytes') m.value = Buffer.from(m.value, 'hex');
      if (m.type === 'Double') m.value = Buffer.from(m.value, 'hex').readDoubleBE();
      if (m.type === 'Float') m.value = Buffer.from(m.value, 'hex').readFloatBE();
    }
  }
  return p;
}

function answer(request) {
  const bytes = (text) => Buffer.from(text, 'base64');
  if (request.op === 'encode') {
    return Buffer.from(sparkplug.encodePayload(prepare(request.payload))).toString('base64');
  }
  const message = withTypes(bytes(request.message), (request.births || []).map(bytes));
  const payload = sparkplug.decodePayload(message);
  if (request.op === 'recode') return Buffer.from(sparkplug.encodePayload(payload)).toString('base64');
  return describe(payload);
}

readline.createInterface({input: process.stdin}).on('line', (line) => {
  let out;
  try {
    out = {ok: answer(JSON.parse(line))};
  } catch (err) {
    out = {error: String(err.stack || err)};
  }
  process.stdout.write(JSON.stringify(out) + '\n');
});
