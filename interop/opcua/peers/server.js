// node-opcua's server with a few nodes.   node server.js PORT PKI     prints "ready" when it serves
"use strict";
const path = require("path");
const readline = require("readline");
const {
  OPCUAServer, OPCUACertificateManager, SecurityPolicy, MessageSecurityMode, Variant, VariantArrayType, DataType, StatusCodes,
} = require("node-opcua");

const port = parseInt(process.argv[2]);
const pki = process.argv[3];

async function main() {
  const manager = async (name) => {
    const m = new OPCUACertificateManager({ rootFolder: path.join(pki, name), name, automaticallyAcceptUnknownCertificate: true });
    await m.initialize();
    return m;
  };
  const server = new OPCUAServer({
    port, hostname: "127.0.0.1", alternateHostname: ["127.0.0.1", "localhost"], resourcePath: "/UA/peer",
    serverCertificateManager: await manager("server"), userCertificateManager: await manager("user"),
    securityPolicies: [SecurityPolicy.None, SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss],
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: true, userManager: { isValidUser: (name, password) => name === "joe" && password === "a password" },
    serverCapabilities: { maxSessions: 100, operationLimits: { maxNodesPerRead: 64, maxMonitoredItemsPerCall: 50 } },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const ns = space.registerNamespace("urn:peer:nodes");
  const folder = ns.addFolder(space.rootFolder.objects, { nodeId: "s=peer", browseName: "peer" });
  const add = (name, dataType, value, extra) => ns.addVariable({
    organizedBy: folder, nodeId: `s=${name}`, browseName: name, dataType, accessLevel: "CurrentRead | CurrentWrite", userAccessLevel: "CurrentRead | CurrentWrite",
    value: new Variant({ dataType: DataType[dataType], arrayType: VariantArrayType.Scalar, value, ...extra }), valueRank: extra ? 1 : -1,
  });
  add("Boolean", "Boolean", true);
  add("SByte", "SByte", -100);
  add("Byte", "Byte", 200);
  add("Int16", "Int16", -12345);
  add("UInt16", "UInt16", 54321);
  add("Int32", "Int32", -1234567890);
  add("UInt32", "UInt32", 3456789012);
  add("Int64", "Int64", [0xeeddef0b, 0x82167eeb]);
  add("UInt64", "UInt64", [0xab54a98c, 0xeb1f0ad2]);
  add("Float", "Float", 3.1415927410125732);
  add("Double", "Double", 2.718281828459045);
  add("String", "String", "Grüße Ω");
  add("DateTime", "DateTime", new Date(Date.UTC(2026, 2, 4, 5, 6, 7, 89)));
  add("Guid", "Guid", "72962B91-FA75-4AE6-8D28-B404DC7DAF63");
  add("ByteString", "ByteString", Buffer.from([0xca, 0xfe, 0]));
  add("Int32Array", "Int32", new Int32Array([-2147483648, 0, 2147483647]), { arrayType: VariantArrayType.Array });
  add("DoubleArray", "Double", new Float64Array([-1.5, 0, 2.25]), { arrayType: VariantArrayType.Array });
  add("StringArray", "String", ["a", "", "ß"], { arrayType: VariantArrayType.Array });
  const waves = [];
  for (let k = 0; k < 200; k++) {
    waves.push(ns.addVariable({ organizedBy: folder, nodeId: `s=v${k}`, browseName: `v${k}`, dataType: "Double", value: new Variant({ dataType: DataType.Double, value: k }) }));
  }
  const method = ns.addMethod(folder, {
    nodeId: "s=Add", browseName: "Add",
    inputArguments: [{ name: "a", dataType: DataType.Int32 }, { name: "b", dataType: DataType.Int32 }],
    outputArguments: [{ name: "sum", dataType: DataType.Int32 }],
  });
  method.bindMethod((args, _context, done) => done(null, {
    statusCode: StatusCodes.Good, outputArguments: [{ dataType: DataType.Int32, value: args[0].value + args[1].value }],
  }));
  let turn = 0;
  setInterval(() => {
    turn++;
    waves.forEach((w, k) => w.setValueFromSource({ dataType: DataType.Double, value: turn * 1000 + k }, StatusCodes.Good, new Date()));
  }, 200);
  await server.start();
  console.log("> ready");
  // forget ends all sessions as their time-out would: subscriptions live on.
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line !== "forget") continue;
    const sessions = Object.values(server.engine._sessions);
    for (const s of sessions) server.engine.closeSession(s.authenticationToken, false, "Timeout");
    console.log(`> ${sessions.length} forgotten, ${server.engine.currentSubscriptionCount} subscriptions`);
  }
}

main().catch((e) => {
  console.log("> error " + e.message);
  process.exit(1);
});
