// node-opcua's client, told what to do by lines on standard input; each answers with one line.
//   node client.js PKI
//   connect URL POLICY MODE USER LIFETIME      USER is anonymous, certificate, or NAME:PASSWORD; LIFETIME is of tokens, in ms
"use strict";
const path = require("path");
const readline = require("readline");
const fs = require("fs");
const {
  OPCUAClient, OPCUACertificateManager, MessageSecurityMode, SecurityPolicy, UserTokenType, AttributeIds, DataType, Variant, TimestampsToReturn,
  ClientSubscription, ClientMonitoredItem, StatusCodes, makeBrowsePath, PublishRequest,
} = require("node-opcua");

const pki = process.argv[2];
const SIM = "urn:millrace:sim";

function words(v) {
  if (v instanceof Date) return v.toISOString();
  if (Array.isArray(v) && v.length === 2 && words.wide) { // a 64-bit integer is [high, low]
    const n = (BigInt(v[0] >>> 0) << 32n) | BigInt(v[1] >>> 0);
    return (words.signed ? BigInt.asIntN(64, n) : n).toString();
  }
  return String(v);
}

function text(dataValue) {
  if (dataValue.statusCode !== StatusCodes.Good) return dataValue.statusCode.name;
  const v = dataValue.value;
  words.wide = v.dataType === DataType.Int64 || v.dataType === DataType.UInt64;
  words.signed = v.dataType === DataType.Int64;
  if (v.value === null || v.value === undefined) return DataType[v.dataType] + " null";
  if (v.value.length !== undefined && v.arrayType > 0) return DataType[v.dataType] + " [" + Array.from(v.value, words).join(" ") + "]";
  return DataType[v.dataType] + " " + words(v.value);
}

async function main() {
  const manager = new OPCUACertificateManager({ rootFolder: pki, automaticallyAcceptUnknownCertificate: true });
  await manager.initialize();
  let client, session, who, ns, renewed;
  const id = (s) => (s.includes("=") ? s : `ns=${ns};s=${s}`);

  async function connect(url, policy, mode, user, lifetime) {
    client = OPCUAClient.create({
      endpointMustExist: false, securityMode: MessageSecurityMode[mode], securityPolicy: SecurityPolicy[policy], connectionStrategy: { maxRetry: 0 },
      clientCertificateManager: manager, applicationName: "peer", requestedSessionTimeout: 60000, defaultSecureTokenLifetime: parseInt(lifetime),
    });
    renewed = 0;
    client.on("security_token_renewed", () => renewed++);
    await client.connect(url);
    let identity = { type: UserTokenType.Anonymous };
    if (user === "certificate") {
      identity = {
        type: UserTokenType.Certificate, certificateData: client.getCertificate(), privateKey: fs.readFileSync(manager.privateKey, "utf8"),
      };
    } else if (user !== "anonymous") {
      const [userName, password] = user.split(":");
      identity = { type: UserTokenType.UserName, userName, password };
    }
    who = identity;
    session = await client.createSession(who);
    ns = (await session.readNamespaceArray()).indexOf(SIM);
  }

  const verbs = {
    async connect(...args) {
      if (session) await verbs.quit();
      await connect(...args);
      return "connected";
    },
    async read(node) {
      return text(await session.read({ nodeId: id(node), attributeId: AttributeIds.Value }));
    },
    async readmany(count) {
      const nodes = Array.from({ length: parseInt(count) }, (_, k) => ({ nodeId: id(`v${k}`), attributeId: AttributeIds.Value }));
      const values = await session.read(nodes);
      return String(values.filter((v) => v.statusCode === StatusCodes.Good && v.value.value >= 0 && v.value.value <= 100).length);
    },
    async copy(from, to) {
      const v = await session.read({ nodeId: id(from), attributeId: AttributeIds.Value });
      return (await session.write({ nodeId: id(to), attributeId: AttributeIds.Value, value: { value: v.value } })).name;
    },
    async browse(node) {
      const r = await session.browse({ nodeId: id(node), browseDirection: 0, referenceTypeId: "i=33", includeSubtypes: true, resultMask: 63 });
      let refs = r.references || [];
      let more = r.continuationPoint;
      while (more && more.length) {
        const next = await session.browseNext(more, false);
        refs = refs.concat(next.references || []);
        more = next.continuationPoint;
      }
      return refs.map((x) => x.browseName.name).sort().join(" ");
    },
    // Walks from SessionsDiagnosticsSummary to the objects of sessions: how many, what the last one is made of, how many variables that has, and how its user logged in.
    async sessions() {
      const parts = async (nodeId, nodeClassMask) => (await session.browse({ nodeId, browseDirection: 0, referenceTypeId: "i=47", includeSubtypes: true, nodeClassMask, resultMask: 63 })).references || [];
      const objects = await parts("i=3706", 1);
      const names = [], counts = [];
      let how = "";
      for (const part of objects.length ? await parts(objects[objects.length - 1].nodeId, 2) : []) {
        names.push(part.browseName.name);
        const fields = await parts(part.nodeId, 2);
        counts.push(fields.length);
        for (const f of fields.filter((x) => x.browseName.name === "AuthenticationMechanism")) how = (await session.read({ nodeId: f.nodeId, attributeId: AttributeIds.Value })).value.value;
      }
      return [objects.length, ...names, ...counts, how].join(" ");
    },
    async path(p) {
      const r = await session.translateBrowsePath(makeBrowsePath("RootFolder", p.replaceAll("SIM", String(ns))));
      return r.statusCode === StatusCodes.Good ? r.targets[0].targetId.toString().replace(/^ns=\d+;/, "") : r.statusCode.name;
    },
    async call(a, b) {
      const r = await session.call({
        objectId: id("sim"), methodId: id("Add"),
        inputArguments: [a, b].map((x) => new Variant({ dataType: DataType.Int32, value: parseInt(x) })),
      });
      return r.statusCode === StatusCodes.Good ? String(r.outputArguments[0].value) : r.statusCode.name;
    },
    // Waits until each of COUNT waves has changed twice.
    async subscribe(count) {
      const n = parseInt(count);
      const s = ClientSubscription.create(session, {
        requestedPublishingInterval: 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
      });
      const seen = new Map();
      const done = new Promise((resolve) => {
        for (let k = 0; k < n; k++) {
          const item = ClientMonitoredItem.create(s, { nodeId: id(`v${k}`), attributeId: AttributeIds.Value }, { samplingInterval: 50, queueSize: 10 }, TimestampsToReturn.Both);
          item.on("changed", () => {
            seen.set(k, (seen.get(k) || 0) + 1);
            if ([...seen.values()].filter((x) => x >= 3).length === n) resolve();
          });
        }
      });
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 20000))]);
      await s.terminate();
      return String([...seen.values()].filter((x) => x >= 3).length);
    },
    // Leaves a subscription with COUNT items behind with its session, and takes it over in the next one. It asks for services alone: ClientSubscription would delete it.
    async transfer(count) {
      const n = parseInt(count);
      const ask = (s, service, request) => new Promise((resolve, reject) => s[service](request, (e, r) => (e ? reject(e) : resolve(r))));
      const { subscriptionId } = await ask(session, "createSubscription", {
        requestedPublishingInterval: 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
      });
      const itemsToCreate = Array.from({ length: n }, (_, k) => ({
        itemToMonitor: { nodeId: id(`v${k}`), attributeId: AttributeIds.Value }, monitoringMode: 2,
        requestedParameters: { clientHandle: k, samplingInterval: 50, queueSize: 1, discardOldest: true },
      }));
      await ask(session, "createMonitoredItems", { subscriptionId, timestampsToReturn: TimestampsToReturn.Both, itemsToCreate });
      await session.close(false);
      session = await client.createSession(who);
      const r = await ask(session, "transferSubscriptions", { subscriptionIds: [subscriptionId], sendInitialValues: true });
      if (r.results[0].statusCode !== StatusCodes.Good) return r.results[0].statusCode.name;
      const seen = new Set();
      for (let k = 0; k < 50 && seen.size < n; k++) {
        const p = await ask(session, "publish", new PublishRequest({}));
        for (const x of p.notificationMessage.notificationData || []) (x.monitoredItems || []).forEach((i) => seen.add(i.clientHandle));
      }
      const gone = await ask(session, "deleteSubscriptions", { subscriptionIds: [subscriptionId] });
      return `${r.results[0].statusCode.name} ${seen.size} ${gone.results[0].name}`;
    },
    async hold(ms) { // reads all the time, over renewals of the token
      const end = Date.now() + parseInt(ms);
      let n = 0;
      while (Date.now() < end) {
        if ((await session.read({ nodeId: id("static.Double"), attributeId: AttributeIds.Value })).value.value !== 2.718281828459045) return "wrong value";
        n++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return n > 0 && renewed > 0 ? "renewed" : `${n} reads, ${renewed} renewals`;
    },
    async quit() {
      await session.close();
      await client.disconnect();
      session = undefined;
      return "bye";
    },
  };

  console.log("> ready");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, ...args] = line.split(" ");
    let answer;
    try {
      answer = await verbs[verb](...args);
    } catch (e) {
      answer = "error " + String(e.message).split("\n")[0];
    }
    console.log("> " + answer);
    if (verb === "quit") break;
  }
}

main().then(() => process.exit(0), (e) => {
  console.log("> error " + String(e.message).replaceAll("\n", " "));
  process.exit(1);
});
