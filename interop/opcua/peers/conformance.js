// node-opcua's server with the address space that it is itself held to.   node conformance.js PORT PKI     prints "ready" when it serves, ends with standard input
"use strict";
const path = require("path");
const { OPCUAServer, OPCUACertificateManager, MessageSecurityMode, SecurityPolicy, nodesets } = require("node-opcua");
const { build_address_space_for_conformance_testing: build } = require("node-opcua-address-space-for-conformance-testing");

async function main() {
  const manager = async (name) => {
    const m = new OPCUACertificateManager({ rootFolder: path.join(process.argv[3], name), name, automaticallyAcceptUnknownCertificate: true });
    await m.initialize();
    return m;
  };
  const server = new OPCUAServer({
    port: parseInt(process.argv[2]), hostname: "127.0.0.1", resourcePath: "/UA/peer", nodeset_filename: [nodesets.standard],
    serverCertificateManager: await manager("server"), userCertificateManager: await manager("user"),
    securityPolicies: [SecurityPolicy.None], securityModes: [MessageSecurityMode.None],
  });
  await server.initialize();
  await build(server.engine.addressSpace, { mass_variables: false });
  await server.start();
  console.log("> ready");
  process.stdin.on("end", () => process.exit(0)).resume();
}

main().catch((e) => {
  console.log("> error " + e.message);
  process.exit(1);
});
