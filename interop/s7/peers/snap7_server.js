// An S7 server on node-snap7 with the plant of this suite. Usage: snap7_server.js PORT; it ends when standard input does.
'use strict';
const snap7 = require('node-snap7');

const s = new snap7.S7Server();
const bytes = (n, at) => Buffer.from(Array.from({ length: n }, (_, i) => at(i)));
const pattern = (n) => bytes(n, (i) => i % 251);
const bcd = (n) => Number.parseInt(String(n), 16);
const words = Buffer.alloc(512);
for (let n = 0; n < 256; n++) words.writeUInt16BE(bcd(n), 2 * n);

s.SetParam(s.LocalPort, Number(process.argv[2]));
s.SetEventMask(s.evcNone);
s.RegisterArea(s.srvAreaPE, pattern(256));
s.RegisterArea(s.srvAreaPA, Buffer.alloc(1024));
s.RegisterArea(s.srvAreaMK, Buffer.alloc(1024));
s.RegisterArea(s.srvAreaCT, words);
s.RegisterArea(s.srvAreaTM, words);
s.RegisterArea(s.srvAreaDB, 1, pattern(8192));
s.RegisterArea(s.srvAreaDB, 2, Buffer.alloc(1024));
s.RegisterArea(s.srvAreaDB, 3, pattern(99));
if (!s.StartTo('127.0.0.1')) {
	console.error(s.ErrorText(s.LastError()));
	process.exit(1);
}
console.log('ready');
process.stdin.on('end', () => {
	s.Stop();
	process.exit(0);
}).resume();
