// llhttp.js: what Node's own parser (llhttp) makes of requests; the same input and output as heads.c.
'use strict';
process.removeAllListeners('warning');
process.on('warning', () => {});
const { HTTPParser } = process.binding('http_parser');
const methods = require('_http_common').methods;

function readConnection(bytes) {
  const out = [];
  let current = null;
  let ended = false;
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  const begin = () => ({ method: '?', target: '', minor: 0, fields: [], length: 0, sum: 2166136261, keep: true });
  parser[HTTPParser.kOnMessageBegin | 0] = () => { current = begin(); };
  parser[HTTPParser.kOnHeaders | 0] = (fields, url) => {
    if (current.complete) return; // trailers
    current.fields.push(...fields);
    current.target += url;
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, fields, method, url, code, message, upgrade, keep) => {
    current = current || begin();
    current.method = methods[method];
    current.target += url || '';
    current.minor = major === 1 ? minor : 10 * major + minor;
    current.fields.push(...(fields || []));
    current.keep = keep;
    current.complete = true;
  };
  parser[HTTPParser.kOnBody | 0] = (body) => {
    current.length += body.length;
    for (const byte of body) current.sum = Math.imul(current.sum ^ byte, 16777619) >>> 0;
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    const target = Buffer.from(current.target, 'latin1').toString('hex');
    out.push(`${current.method} ${target} ${current.minor} ${current.fields.length / 2} ${current.length} ${current.sum >>> 0} ; `);
    ended = !current.keep;
    current = null;
  };
  const result = parser.execute(bytes, 0, bytes.length);
  let end = 'end';
  if (result instanceof Error) end = ended ? 'end' : `error ${result.code}`;
  else if (current !== null) end = 'more';
  return out.join('') + end;
}

const input = require('fs').readFileSync(0);
const lines = [];
for (let at = 0; at + 4 <= input.length;) {
  const length = input.readUInt32BE(at);
  lines.push(readConnection(input.subarray(at + 4, at + 4 + length)));
  at += 4 + length;
}
process.stdout.write(lines.join('\n') + '\n');
