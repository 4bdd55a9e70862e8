// Asks an S7 server, through node-snap7, what the test says: a question a line on standard input, an answer a line behind "> ".
// Usage: snap7_client.js PORT PDU [calling TSAP, called TSAP]
'use strict';
const readline = require('readline');
const snap7 = require('node-snap7');

const c = new snap7.S7Client();
const [port, pdu, calling, called] = process.argv.slice(2).map(Number);
c.SetParam(c.RemotePort, port);
c.SetParam(c.PDURequest, pdu);
c.SetParam(c.RecvTimeout, 5000);
if (called) c.SetConnectionParams('127.0.0.1', calling, called);
if (!(called ? c.Connect() : c.ConnectTo('127.0.0.1', 0, 2))) {
	console.log('> ' + c.ErrorText(c.LastError()));
	process.exit(0);
}
console.log('> connected');

const areas = { I: 0x81, Q: 0x82, M: 0x83, DB: 0x84, C: 0x1C, T: 0x1D };
// node-snap7 has no room for the answers in other sizes, and writes over other memory.
const sizes = { BIT: 1, BYTE: 2, WORD: 4, DWORD: 6, REAL: 8, COUNTER: 0x1C, TIMER: 0x1D };
const types = { OB: 0x38, DB: 0x41, SDB: 0x42, FC: 0x43, SFC: 0x44, FB: 0x45, SFB: 0x46 };

// What snap7 makes of the codes on the wire. Several of them become one error.
const codes = {
	0x00700000: '8500', 0x00900000: '05', 0x00A00000: '06', 0x00B00000: '07', 0x00C00000: '0A', 0x00D00000: 'DC01', 0x00F00000: 'running',
	0x01300000: 'stopped', 0x01400000: '8104', 0x01D00000: 'D241', 0x01E00000: 'D602', 0x01F00000: 'D605',
};

function failure(code) {
	const own = code & 0xFFF00000;
	return '!' + (codes[own] || '(' + c.ErrorText(code) + ')');
}
// done takes what a call returned: false is an error.
function done(result, show) {
	if (result === false) return failure(c.LastError());
	return show ? show(result) : 'ok';
}
const hex = (b) => b.toString('hex');
const text = (s) => s.replace(/\0/g, '').trim();

// item reads AREA DB START[.BIT] SIZE COUNT.
function item(words) {
	const [area, db, start, size, count] = words;
	const [byte, bit] = start.split('.').map(Number);
	return { Area: areas[area], DBNumber: Number(db), Start: bit === undefined ? byte : byte * 8 + bit, WordLen: sizes[size], Amount: Number(count) };
}
const items = (words) => words.join(' ').split(';').map((s) => item(s.trim().split(' ')));

const commands = {
	pdu: () => String(c.PDULength()),
	read(words) {
		const m = item(words);
		return done(c.ReadArea(m.Area, m.DBNumber, m.Start, m.Amount, m.WordLen), hex);
	},
	write(words) {
		const m = item(words);
		return done(c.WriteArea(m.Area, m.DBNumber, m.Start, m.Amount, m.WordLen, Buffer.from(words[5], 'hex')));
	},
	vars: (words) => done(c.ReadMultiVars(items(words)), (r) => r.map((v) => (v.Result ? failure(v.Result) : hex(v.Data))).join(' ')),
	writevars(words) {
		const all = words.join(' ').split(';').map((s) => {
			const w = s.trim().split(' ');
			return Object.assign(item(w), { Data: Buffer.from(w[5], 'hex') });
		});
		return done(c.WriteMultiVars(all), (r) => r.map((v) => (v.Result ? failure(v.Result) : 'ok')).join(' '));
	},
	// It gives the two numbers before the records in the machine's order.
	szl: ([id, index]) => done(c.ReadSZL(parseInt(id, 16), parseInt(index, 16)), (b) => hex(b.subarray(0, 4).swap16()) + hex(b.subarray(4))),
	szlids: () => done(c.ReadSZLList(), (l) => [...l].map((id) => id.toString(16).padStart(4, '0')).join(' ')),
	order: () => done(c.GetOrderCode(), (o) => `${text(o.Code)} V${o.V1}.${o.V2}.${o.V3}`),
	cpu: () => done(c.GetCpuInfo(), (i) => [i.ModuleTypeName, i.SerialNumber, i.ASName, i.Copyright, i.ModuleName].map(text).join(' | ')),
	cp: () => done(c.GetCpInfo(), (i) => `${i.MaxPduLength} ${i.MaxConnections} ${i.MaxMpiRate} ${i.MaxBusRate}`),
	status: () => done(c.PlcStatus(), String),
	protection: () => done(c.GetProtection(), (p) => `${p.sch_schal} ${p.sch_par} ${p.sch_rel} ${p.bart_sch} ${p.anl_sch}`),
	counts: () => done(c.ListBlocks(), (b) => Object.keys(types).map((t) => `${t}=${b[t + 'Count']}`).join(' ')),
	list: ([type]) => done(c.ListBlocksOfType(types[type]), (l) => [...l].join(' ')),
	info: ([type, n]) => done(c.GetAgBlockInfo(types[type], Number(n)), (b) =>
		[b.BlkNumber, b.BlkLang, b.BlkType, b.MC7Size, b.LoadSize, b.LocalData, b.SBBLength, b.Version, b.Author, b.Family, b.Header].map((v) => text(String(v)) || '-').join(' ')),
	fullupload: ([type, n]) => done(c.FullUpload(types[type], Number(n), 65536), hex),
	upload: ([type, n]) => done(c.Upload(types[type], Number(n), 65536), hex),
	download: ([n, image]) => done(c.Download(Number(n), Buffer.from(image, 'hex'))),
	delete: ([type, n]) => done(c.Delete(types[type], Number(n))),
	dbget: ([n]) => done(c.DBGet(Number(n)), hex),
	dbfill: ([n, fill]) => done(c.DBFill(Number(n), parseInt(fill, 16))),
	clock: () => done(c.GetPlcDateTime(), (t) => new Date(t.getTime() - t.getTimezoneOffset() * 60000).toISOString().slice(0, 19)),
	setclock: ([at]) => done(c.SetPlcDateTime(new Date(at))),
	password: ([p]) => done(c.SetSessionPassword(p)),
	clearpassword: () => done(c.ClearSessionPassword()),
	stop: () => done(c.PlcStop()),
	hotstart: () => done(c.PlcHotStart()),
	coldstart: () => done(c.PlcColdStart()),
	copyramtorom: () => done(c.CopyRamToRom(1000)),
	compress: () => done(c.Compress(1000)),
	timeout: ([ms]) => String(c.SetParam(c.RecvTimeout, Number(ms))),
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
	const [name, ...words] = line.split(' ');
	const served = commands[name] && !/ (CHAR|INT|DINT) /.test(line);
	console.log('> ' + (served ? commands[name](words) : 'unserved'));
}).on('close', () => {
	c.Disconnect();
	process.exit(0);
});
