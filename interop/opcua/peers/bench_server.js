// node-opcua's server with 1,000 values that stay, for the benchmarks.   node bench_server.js PORT PKI     prints "ready" when it serves, ends with standard input
"use strict";
const path = require("path");
const { OPCUAServer, OPCUACertificateManager, SecurityPolicy, MessageSecurityMode, Variant, DataType } = require("node-opcua");

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
    securityPolicies: [SecurityPolicy.None, SecurityPolicy.Basic256Sha256], securityModes: [MessageSecurityMode.None, MessageSecurityMode.SignAndEncrypt],
    maxConnectionsPerEndpoint: 200, serverCapabilities: { maxSessions: 200, operationLimits: { maxNodesPerRead: 1000 } },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const ns = space.registerNamespace("urn:bench");
  const folder = ns.addFolder(space.rootFolder.objects, { nodeId: "s=bench", browseName: "bench" });
  for (let k = 0; k < 1000; k++) {
    ns.addVariable({ organizedBy: folder, nodeId: `s=v${k}`, browseName: `v${k}`, dataType: "Double", value: new Variant({ dataType: DataType.Double, value: k }) });
  }
  await server.start();
  console.log("> ready");
  process.stdin.on("end", () => process.exit(0)).resume();
}

main().catch((e) => {
  console.log("> error " + e.message);
  process.exit(1);
});
