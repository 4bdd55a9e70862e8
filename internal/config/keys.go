package config

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
)

// The tables below are the whole language of the file. A key that is in none of them is refused; the JSON Schema and the reference
// in docs/config.md are made from them. They are never written to.

var rootKeys = mapping[document]{
	name: "the file",
	keys: []key[document]{
		sub("gateway", &gatewayKeys, "The process as a whole.", func(d *document) *Gateway { return &d.gateway }),
		sub("journal", &journalKeys, "How much is kept on disk, and how soon a value is safe there.", func(d *document) *journalDraft { return &d.journal }),
		named("templates", &templateKeys, "Device types, each described once and used by any number of devices.",
			func(d *document) *[]templateDraft { return &d.templates },
			func(t *templateDraft, name string, at Place) { t.name, t.place = name, at }),
		list("devices", &deviceKeys, "The devices to read.", func(d *document) *[]deviceDraft { return &d.devices }).must(),
		list("sinks", &sinkKeys, "Where values are delivered.", func(d *document) *[]sinkDraft { return &d.sinks }),
		list("notify", &notifyKeys, "Who is told when something happens.", func(d *document) *[]notifyDraft { return &d.notify }),
		sub("write", &writeKeys, "Who may write what, and how it is verified.", func(d *document) *Write { return &d.write }),
		list("serve", &serveKeys, "Servers that offer the tags to other systems.", func(d *document) *[]serveDraft { return &d.serve }),
		sub("heal", &healKeys, "Rules that bring devices back by themselves.", func(d *document) *healDraft { return &d.heal }),
	},
}

var gatewayKeys = mapping[Gateway]{
	name: "gateway",
	keys: []key[Gateway]{
		text("name", "millrace", "What this gateway is called in notifications, metrics and on its page.", func(g *Gateway) *string { return &g.Name }),
		text("data", "./data", "Directory of the journal, the state and the API token. Relative to the configuration file. One gateway at a time uses it.",
			func(g *Gateway) *string { return &g.Data }),
		text("listen", "127.0.0.1:8080", "Address and port of the web page and the API; `off` for neither.",
			func(g *Gateway) *string { return &g.Listen }).checked(checkListen),
		integer("dial_rate", "400", "New connections per second, over all devices: the start of a large gateway does not storm the network.",
			func(g *Gateway) *int { return &g.DialRate }).within(1, 100_000),
		sub("shedding", &sheddingKeys, "When intervals are stretched for want of time: see [devices.md](devices.md#overload).", func(g *Gateway) *device.Shedding { return &g.Shedding }),
		boolean("allow_commands", "false", "Healing rules may run programs, with the rights of the gateway. Rules can come from files that others write; so this is said here.",
			func(g *Gateway) *bool { return &g.AllowCommands }),
	},
}

var sheddingKeys = mapping[device.Shedding]{
	name: "shedding",
	doc:  "From when on a connection, or the gateway, has too little time, and what is done then. Loads are parts of the time: 1 is all of it.",
	keys: []key[device.Shedding]{
		number("crowded", "0.8", "Load of a connection from which on it is said who takes its time.", func(s *device.Shedding) *float64 { return &s.Crowded }).within(0.2, 10),
		number("overload", "1", "Load of a connection above which the longest intervals on it are stretched: until the load is a tenth less, and back where it stays three tenths below.",
			func(s *device.Shedding) *float64 { return &s.Overload }).within(0.2, 10),
		number("late", "0.25", "How late the gateway itself looks at groups, on average and as a share of the shortest interval, when the longest intervals of all devices are stretched. Two fifths of that are said.",
			func(s *device.Shedding) *float64 { return &s.Late }).within(0.05, 10),
		duration("after", "5s", "How long it must be so before anything is stretched.", func(s *device.Shedding) *time.Duration { return &s.After }).within(1, 3600),
		duration("back", "30s", "How long there must be room before an interval comes back.", func(s *device.Shedding) *time.Duration { return &s.Back }).within(1, 3600),
		integer("most", "8", "Times its configured length that an interval may have: 2, 4, 8, 16, 32 or 64; with 1 none is stretched, and what is missed is counted.",
			func(s *device.Shedding) *int { return &s.Most }).within(1, 64).checked(checkDoublings),
	},
}

func checkDoublings(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return nil // which is said where it is read as a number
	}
	return device.Shedding{Most: n}.Check()
}

func checkListen(s string) error {
	if s == "off" {
		return nil
	}
	if _, err := net.ResolveTCPAddr("tcp", s); err == nil {
		return nil
	}
	if _, _, err := net.SplitHostPort(s); err != nil {
		return fmt.Errorf("%q is not an address with a port, like 127.0.0.1:8080, nor off", s)
	}
	return nil
}

var journalKeys = mapping[journalDraft]{
	name: "journal",
	keys: []key[journalDraft]{
		size("max_bytes", "10GiB", "Most bytes on disk. When they are used up the oldest records go, delivered or not; what was not delivered is counted. At least 4 segments.",
			func(j *journalDraft) *int64 { return &j.MaxBytes }).placed(func(j *journalDraft) *Place { return &j.maxBytesAt }),
		duration("max_age", "168h", "Records that every sink has are removed when they are older.", func(j *journalDraft) *time.Duration { return &j.MaxAge }).within(1, 0),
		duration("flush_every", "20ms", "Longest wait of a value for others to share its sync to disk. A power cut can lose what came within this time.",
			func(j *journalDraft) *time.Duration { return &j.FlushEvery }).within(0.001, 10),
		size("segment_bytes", "64MiB", "Size of one journal file.", func(j *journalDraft) *int64 { return &j.SegmentBytes }).within(1<<20, 1<<30),
		size("queue_bytes", "64MiB", "Most bytes in memory that wait for the disk. When it is full, new values are dropped and counted as `journal_full`.",
			func(j *journalDraft) *int64 { return &j.QueueBytes }).within(64<<10, 64<<30),
	},
}

var templateKeys = mapping[templateDraft]{
	name: "template",
	keys: []key[templateDraft]{
		paramsKey("Parameters with their defaults; one without a value must be given by each device. `{name}` (or `${param.name}`) in an address, a tag or an option stands for the value; `{id}` is the device's id, `{{` a brace.",
			func(t *templateDraft) *[]param { return &t.params }),
		text("protocol", "", "The driver that its devices must have. Otherwise it follows from the address.",
			func(t *templateDraft) *string { return &t.protocol }).placed(func(t *templateDraft) *Place { return &t.protocolAt }),
		profileKey(func(t *templateDraft) *profileDraft { return &t.profile }),
		routingKey(func(t *templateDraft) *routingDraft { return &t.routing }),
		predictKey(func(t *templateDraft) *predictDraft { return &t.predict }),
		optionsKey(func(t *templateDraft) *[]option { return &t.options }),
		labelsKey(func(t *templateDraft) *[]option { return &t.labels }),
		groupsKey(func(t *templateDraft) *[]groupDraft { return &t.groups }),
	},
}

var deviceKeys = mapping[deviceDraft]{
	name: "device",
	one:  []string{"id", "csv"},
	keys: []key[deviceDraft]{
		text("id", "", "The device's name, unique. Its tags are called id/tag. Every device that is not from a CSV file has one.",
			func(d *deviceDraft) *string { return &d.id }).placed(func(d *deviceDraft) *Place { return &d.idAt }),
		text("csv", "", "A file with a device in each row instead of one device here. Columns id and address, then parameters of the template, and optionally profile. Relative to the configuration file.",
			func(d *deviceDraft) *string { return &d.csv }).placed(func(d *deviceDraft) *Place { return &d.csvAt }),
		text("template", "", "The template that it is made from.", func(d *deviceDraft) *string { return &d.template }).placed(func(d *deviceDraft) *Place { return &d.templateAt }),
		text("address", "", "Where it is: `modbus://10.0.0.1:502/1`, `s7://10.0.0.2?slot=1`, `opc.tcp://10.0.0.3:4840`. With csv it stands for rows without an address of their own.",
			func(d *deviceDraft) *string { return &d.address }).placed(func(d *deviceDraft) *Place { return &d.addressAt }),
		paramsKey("Values for the template's parameters.", func(d *deviceDraft) *[]param { return &d.params }),
		profileKey(func(d *deviceDraft) *profileDraft { return &d.profile }),
		list("routes", &routeKeys, "Further addresses of the same device, the one to take first first: it goes there when it would be down where it is.",
			func(d *deviceDraft) *[]routeDraft { return &d.routes }),
		routingKey(func(d *deviceDraft) *routingDraft { return &d.routing }),
		predictKey(func(d *deviceDraft) *predictDraft { return &d.predict }),
		optionsKey(func(d *deviceDraft) *[]option { return &d.options }),
		labelsKey(func(d *deviceDraft) *[]option { return &d.labels }),
		groupsKey(func(d *deviceDraft) *[]groupDraft { return &d.groups }).placed(func(d *deviceDraft) *Place { return &d.groupsAt }),
	},
}

var groupKeys = mapping[groupDraft]{
	name: "group",
	doc:  "Tags that are read together. A device's group of the same name as one of its template adds to it; its tags replace those of the same name.",
	keys: []key[groupDraft]{
		duration("interval", "1s", "How often it is read.", func(g *groupDraft) *time.Duration { return &g.interval }).within(0.001, 7*24*3600).afterMerge(),
		tagsKey("Names, each with a tag in one string: the address, then what is known of the value (see Tags)."),
		text("csv", "", "A file with a tag in each row, in addition. Columns name and address, then any of "+tagAttrNames()+". Relative to the configuration file.",
			func(g *groupDraft) *string { return &g.csv }).placed(func(g *groupDraft) *Place { return &g.csvAt }),
	},
}

// tagKeys are what can follow the address in the string of a tag, and the columns of a CSV file of tags.
var tagKeys = mapping[tagAttrs]{
	name: "tag",
	keys: []key[tagAttrs]{
		number("scale", "", "Engineering value = raw value * scale + bias.", func(t *tagAttrs) *float64 { return &t.Scale }).checked(notZero),
		number("bias", "", "See scale.", func(t *tagAttrs) *float64 { return &t.Bias }),
		text("unit", "", "The unit of the engineering value: °C, bar, 1/min.", func(t *tagAttrs) *string { return &t.Unit }),
		deadbandKey(),
		number("low", "", "Lower end of the tag's range: what a deadband in percent refers to (without a range, to the last value), and what may be written.", func(t *tagAttrs) *float64 { return &t.Deadband.Low }),
		number("high", "", "Upper end of that range.", func(t *tagAttrs) *float64 { return &t.Deadband.High }),
		boolean("every", "", "Keep every value read, changed or not.", func(t *tagAttrs) *bool { return &t.Deadband.Every }),
		boolean("rw", "", "The tag may be written. Without it, it is read-only.", func(t *tagAttrs) *bool { return &t.writable }),
		text("write", "", "The rule for writing the tag, one of write: rules:. Without it the defaults of a rule hold.", func(t *tagAttrs) *string { return &t.WriteRule }),
	},
}

func notZero(s string) error {
	if v, err := parseNumber(s); err == nil && v == 0 {
		return fmt.Errorf("it may not be 0")
	}
	return nil
}

var profileNames = []string{resilience.LAN().Name, resilience.Site().Name, resilience.Remote().Name}

// profileKeys override single fields of a profile. They have no defaults: base has them.
var profileKeys = mapping[profileDraft]{
	name: "profile",
	doc:  "How patient the gateway is with a device.",
	keys: []key[profileDraft]{
		choice("base", "", profileNames, "The profile that gives what is not said here; a device's is the template's, else lan.", func(p *profileDraft) *string { return &p.base }),
		duration("floor", "", "Shortest time to wait for a reply.", func(p *profileDraft) *time.Duration { return &p.floor }).within(0.001, 3600),
		duration("ceiling", "", "Longest time to wait for a reply.", func(p *profileDraft) *time.Duration { return &p.ceiling }).within(0.001, 3600),
		integer("failures", "", "Timeouts one after the other after which the device counts as down.", func(p *profileDraft) *int { return &p.failures }).within(1, 1000),
		duration("window", "", "How long timeouts may go on, however few, before the device counts as down.", func(p *profileDraft) *time.Duration { return &p.window }).within(0.001, 24*3600),
		duration("cap", "", "Longest wait before a device that is down is tried again.", func(p *profileDraft) *time.Duration { return &p.cap }).within(0.001, 24*3600),
		duration("connect", "", "Longest time that a connection may take to be made, without the handshake; the ceiling without it.", func(p *profileDraft) *time.Duration { return &p.connect }).within(0.001, 3600),
		duration("handshake", "", "Longest time that the handshake on it may take; the ceiling without it, and what OPC UA needs.", func(p *profileDraft) *time.Duration { return &p.handshake }).within(0.001, 3600),
		duration("write", "", "How long to wait for the reply to a write; the ceiling without it, since what is given up too early may have happened.", func(p *profileDraft) *time.Duration { return &p.write }).within(0.001, 3600),
		duration("operation", "", "Longest time for a whole read of a group, or a write, with all its requests; as long as these take without it.", func(p *profileDraft) *time.Duration { return &p.operation }).within(0.001, 24*3600),
		number("failure_rate", "", "Share of the reads within the window that failed with which the device counts as down, 0.6 without it.", func(p *profileDraft) *float64 { return &p.failureRate }).within(0.01, 1),
		integer("min_calls", "", "Reads within the window below which the shares mean nothing, 5 without it.", func(p *profileDraft) *int { return &p.minCalls }).within(1, 1e6),
		duration("slow_call", "", "A read with a reply that took as long as this is slow; the ceiling without it.", func(p *profileDraft) *time.Duration { return &p.slowCall }).within(0.001, 3600),
		number("slow_rate", "", "Share of slow reads within the window with which the device counts as down, 1 (all of them) without it.", func(p *profileDraft) *float64 { return &p.slowRate }).within(0.01, 1),
		integer("probes", "", "Reads after an outage that prove the device, the first of them alone; 10 without it.", func(p *profileDraft) *int { return &p.probes }).within(1, 1000),
		choice("degrade", "", []string{"on", "off"}, "Whether a device whose large reads fail is asked for less at once; on without it.", func(p *profileDraft) *string { return &p.degrade }),
	},
}

// optionKeys are the options that are known here. Those made by passed are the driver's, which checks them; so are any others.
var optionKeys = mapping[device.Spec]{
	name: "options",
	keys: []key[device.Spec]{
		integer("slots", "1", "Connections that the device's address may have from us at once.", func(s *device.Spec) *int { return &s.Slots }).within(1, 1024),
		integer("pool", "1", "Connections that are kept, at most as many as slots; the requests of one Read are spread over them. Not for S7 and OPC UA, which have several requests in flight on one.", func(s *device.Spec) *int { return &s.Limits.Connections }).within(1, 64),
		number("requests_per_second", "", "Most requests a second to the device's address. Without it Modbus has 50 when it is RTU, or in a profile other than `lan`, where a serial line behind a gateway is likely; all others have no limit. 1000000 is none.", func(s *device.Spec) *float64 { return &s.RequestsPerSecond }).within(0.001, 1e6),
		duration("pause_after_connect", "0s", "Wait between connecting and the first request.", func(s *device.Spec) *time.Duration { return &s.PauseAfterConnect }).within(0, 60),
		passed("window", formText, "Modbus: requests in flight at once on a connection: a number, or `auto`, which begins with one and finds out, which is also what happens without it. S7: jobs in flight that are asked for, 8 without it; the PLC grants that or less. OPC UA: 4 without it."),
		passed("max_window", formInteger, "Modbus: most requests in flight that `auto` tries, 4 without it; 1 for one at a time, always."),
		passed("max_registers", formInteger, "Modbus: most 16-bit registers in one read, 125 without it."),
		passed("max_bits", formInteger, "Modbus: most bits in one read, 2000 without it."),
		passed("max_write", formInteger, "Modbus: most registers in one write, 123 without it."),
		passed("gap", formInteger, "Addresses of no interest that may be read to save a request; S7: bytes, 0 for none. Without it the plan weighs what costs less, by what a request and a byte of that device were measured to cost."),
		passed("echo_id", formBool, "Modbus: false for a device that does not repeat the transaction id."),
		passed("dial_timeout", formDuration, "Longest time that a connection may take to be made, handshake included."),
		passed("heartbeat", formDuration, "Modbus: how long a connection may be silent before the device is asked heartbeat_read over it, at least 1s; never without it."),
		passed("heartbeat_read", formText, "Modbus: `device_id`, or the address of a register or bit; `holding:0` without it. An exception is an answer too."),
		passed("model", formText, "S7: the CPU: `200smart`, `logo`, `300`, `400`, `1200` or `1500`. It gives slot and TSAPs, and what is assumed before the first connection."),
		passed("rack", formInteger, "S7: rack of the CPU, 0 without it."),
		passed("slot", formInteger, "S7: slot of the CPU; that of the model, 1 without one."),
		passed("connection", formText, "S7: which of the PLC's connection resources is taken: `op`, `pg` or `basic`; `op` without it."),
		passed("local_tsap", formText, "S7: our TSAP, as `01.00` or `0x0100`, which is also what it is without it."),
		passed("remote_tsap", formText, "S7: the PLC's TSAP, in place of rack, slot and connection."),
		passed("pdu", formInteger, "S7: longest PDU that is asked for, in bytes, 960 without it; the PLC grants that or less."),
		passed("max_items", formInteger, "S7: most variables in one request. Without it as many as the PDU has room for, or fewer when the PLC is found to refuse them. OPC UA: most nodes in one request; without it as many as the server says, or is found to take."),
		passed("resync", formText, "S7: what is done about bytes that are no frame: `off` ends the connection, `once` and `always` search for the next frame."),
		passed("diagnostics", formBool, "S7: true allows what asks the CPU about itself. There are CPUs that failed when they were asked."),
		passed("mode", formText, "OPC UA: `subscribe`: the server sends what changes; `poll`: all is read at each interval; `auto`, which is also what happens without it: subscribe, and poll what the server does not monitor."),
		passed("security", formText, "OPC UA: `auto`, which is also what happens without it: the strongest that both have, and never none where there is a certificate of our own; `none`, `sign`, `encrypt`, a policy such as `Basic256Sha256`, or both as in `Basic256Sha256/sign`."),
		passed("user", formText, "OPC UA: the user's name; nobody in particular without it."),
		passed("password", formSecret, "OPC UA: the user's password. Best as `${env:PLC_PASSWORD}` or `${file:secret.txt}`."),
		passed("user_cert", formFile, "OPC UA: certificate of a user who has one in place of a password."),
		passed("user_key", formFile, "OPC UA: its key."),
		passed("pki", formFile, "OPC UA: the folder of our own certificate, which is made there, and of the trust list; `pki` in the data directory without it."),
		passed("trust", formText, "OPC UA: `list`, which is also what happens without it: the server's certificate must be in the trust list; `any` accepts whoever answers, to try something out."),
		passed("server_cert", formFile, "OPC UA: the only certificate that the server may have, in place of the trust list."),
		passed("skip_checks", formText, "OPC UA: checks of the server's certificate that may fail, separated by commas; they are counted."),
		passed("publishing", formDuration, "OPC UA: how often the server sends what has changed; the interval of the group without it, at most keep_alive."),
		passed("sampling", formText, "OPC UA: how often the server looks whether a value has changed: a duration, or `fastest`; publishing or the interval of the group without it."),
		passed("queue", formInteger, "OPC UA: how many values of a tag the server keeps until it sends them; as many as are sampled until then without it."),
		passed("deadband", formText, "OPC UA: changes that the server does not send: `0.5` in the node's unit, `2%` of its range, `tags` for the deadband of each tag; `off` without it."),
		passed("keep_alive", formDuration, "OPC UA: how often a server without news says that it is there; 5s without it."),
		passed("session_timeout", formDuration, "OPC UA: how long the server keeps a session of which it hears nothing, at least 10s; 1m without it."),
		passed("session", formText, "OPC UA: what the session is called at the server."),
		passed("ca", formFile, "modbus+tls: the authorities that the device's certificate may be from. Relative to the configuration file, as are cert and key."),
		passed("cert", formFile, "modbus+tls, OPC UA: our certificate."),
		passed("key", formFile, "modbus+tls, OPC UA: its key."),
		passed("server_name", formText, "modbus+tls: the name in the device's certificate, when it is not its host."),
	},
}

var sinkTypes = []string{"postgres", "file"}

var sinkKeys = mapping[sinkDraft]{
	name: "sink",
	kind: func(s *sinkDraft) string { return s.Type },
	keys: []key[sinkDraft]{
		text("id", "", "The sink's name, unique. Its place in the journal is kept under this name.", func(s *sinkDraft) *string { return &s.ID }).must().
			placed(func(s *sinkDraft) *Place { return &s.at }),
		choice("type", "", sinkTypes, "What it is.", func(s *sinkDraft) *string { return &s.Type }).must(),
		choice("from", "end", []string{"end", "oldest"}, "Where a sink that is new begins: with values read from now on, or with the oldest ones in the journal.", func(s *sinkDraft) *string { return &s.From }),
		secret("url", "The database: `postgres://user:password@host/database`. Best as `${env:PG_URL}` or `${file:secret.txt}`.", func(s *sinkDraft) *Secret { return &s.URL }).onlyFor("postgres").must(),
		text("schema", "public", "Schema of the table; made when missing.", func(s *sinkDraft) *string { return &s.Schema }).onlyFor("postgres"),
		text("table", "millrace_values", "The table; made when missing.", func(s *sinkDraft) *string { return &s.Table }).onlyFor("postgres"),
		text("dir", "", "Directory of the files. Relative to the configuration file.", func(s *sinkDraft) *string { return &s.Dir }).onlyFor("file").must(),
		size("rotate_bytes", "100MiB", "A new file begins when one is as large.", func(s *sinkDraft) *int64 { return &s.RotateBytes }).onlyFor("file").within(4<<10, 1<<40),
		duration("rotate_every", "1h", "A new file begins when one is as old.", func(s *sinkDraft) *time.Duration { return &s.RotateEvery }).onlyFor("file").within(1, 0),
		integer("max_files", "0", "The oldest files beyond this number are deleted; 0 keeps all.", func(s *sinkDraft) *int { return &s.MaxFiles }).onlyFor("file").within(0, 1e6),
		boolean("gzip", "false", "Compress files that take no more lines.", func(s *sinkDraft) *bool { return &s.Gzip }).onlyFor("file"),
	},
}

// Events are the events that can be notified of.
var events = []string{"device_down", "device_up", "residue", "disk", "healing"}

var notifyKeys = mapping[notifyDraft]{
	name: "notify",
	keys: []key[notifyDraft]{
		text("id", "", "Its name, unique.", func(n *notifyDraft) *string { return &n.ID }).must().placed(func(n *notifyDraft) *Place { return &n.at }),
		choice("type", "", []string{"webhook"}, "What it is.", func(n *notifyDraft) *string { return &n.Type }).must(),
		secret("url", "Where a JSON document is posted for each event: `{event, device, reason, time, gateway, count}`.", func(n *notifyDraft) *Secret { return &n.URL }).must().checked(checkWebhook),
		choices("on", "device_down, device_up, residue, disk, healing", events, "The events that it wants: a device went down or came back, the ledger does not add up, the disk is full or failing, a healing rule acted, stopped, or has something to say.",
			func(n *notifyDraft) *[]string { return &n.On }),
	},
}

// policies are OPC UA's, in the order in which they are listed to clients.
var policies = []string{"None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", "ECC_nistP256"}

// usualPolicies are those that a server offers that does not say: all of RSA, whose certificate its clients know.
var usualPolicies = policies[1:4]

var serveKeys = mapping[serveDraft]{
	name: "serve",
	keys: []key[serveDraft]{
		text("id", "", "Its name, unique.", func(s *serveDraft) *string { return &s.ID }).must().placed(func(s *serveDraft) *Place { return &s.at }),
		choice("type", "", []string{"opcua"}, "The protocol.", func(s *serveDraft) *string { return &s.Type }).must(),
		text("listen", "127.0.0.1:4840", "Address and port of the server.", func(s *serveDraft) *string { return &s.Listen }).checked(checkServe),
		choices("security", "Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss", policies,
			"The security policies that are offered, each with messages signed, and signed and encrypted. With None among them clients may do without. ECC_nistP256 has a certificate of its own, which its clients have to trust.",
			func(s *serveDraft) *[]string { return &s.Security }),
		boolean("anonymous", "false", "Clients may read without a user.", func(s *serveDraft) *bool { return &s.Anonymous }),
		text("users", "", "A file of users, made by `millrace user`. Relative to the configuration file.", func(s *serveDraft) *string { return &s.Users }),
		choice("trust", "list", []string{"list", "any"}, "Which clients' certificates are good: those in the trust list (`millrace trust`), or any at all.",
			func(s *serveDraft) *string { return &s.trust }),
		integer("max_sessions", "100", "Most sessions of clients at once.", func(s *serveDraft) *int { return &s.MaxSessions }).within(1, 10_000),
	},
}

func checkServe(s string) error {
	if _, _, err := net.SplitHostPort(s); err != nil {
		return fmt.Errorf("%q is not an address with a port, like 127.0.0.1:4840", s)
	}
	return nil
}
