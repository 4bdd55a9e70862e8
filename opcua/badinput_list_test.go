package opcua

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update-list", false, "write docs/opcua-bad-input.md anew")

// badInput is one class of input that a server and a client must survive, and the tests that hold them to it. Names without a package are of this one.
type badInput struct {
	input string
	rule  string
	// server and client are tests against a live one of either, over a socket or a pipe; below are those of the codec, the channel and the machines.
	server, client, below []string
	not                   string // why there is no live test of one side
}

// badInputs are the classes, from 1 on.
var badInputs = []badInput{
	{
		"chunks that never end a message", "bytes, chunks and messages that are half here are bounded, and the time from the first chunk to the last",
		[]string{"TestServerChunksThatNeverEnd", "TestServerHoldsLittle"}, []string{"TestClientChunksThatNeverEnd"}, []string{"uasc.TestTranscripts", "uasc.FuzzNext"}, "",
	},
	{
		"nests of Variant, DataValue, DiagnosticInfo, structures", "one depth for all recursive types, 100 by default: BadEncodingLimitsExceeded",
		[]string{"TestServerBadValues"}, []string{"TestClientBadValues"}, []string{"ua.TestNestingEndsAtTheLimit", "ua.TestDepthIsGivenBack", "ua.TestANestOfStructures", "ua.FuzzCodec"}, "",
	},
	{
		"counts of what is not there", "a count is held to the bytes that are left, and what is made of a message to the limit, before anything is allocated",
		[]string{"TestServerBadValues", "TestServerMemoryOfAMessage"}, []string{"TestClientBadValues", "TestClientMemoryOfAMessage", "TestClientRogueCounts"},
		[]string{"ua.TestMemoryStaysWithinTheLimit", "ua.TestEachLimit"}, "",
	},
	{
		"negative lengths", "-1 is null, all others are BadDecodingError",
		[]string{"TestServerBadValues", "TestServerBadConnections"}, []string{"TestClientBadValues", "TestClientBadConnections"}, []string{"ua.TestBadBytesAreRefused"}, "",
	},
	{
		"dimensions of 0, beyond 2^64, of another number of values", "the product is held to the number of values: BadDecodingError",
		[]string{"TestServerBadValues"}, []string{"TestClientBadValues"}, []string{"ua.TestBadBytesAreRefused", "ua.FuzzCodec"}, "",
	},
	{
		"a DiagnosticInfo with every field, and cut in each", "every built-in type is read, written and fuzzed",
		[]string{"TestServerBadValues"}, []string{"TestClientBadValues"}, []string{"ua.TestEveryBuiltinTypeAgainstTheSpecification", "ua.FuzzCodec"}, "",
	},
	{
		"chunks shorter than signature and padding, padding longer than the body, sizes 0 to 7 and beyond the buffer", "every length is judged before it is used. There is no recover behind that, on purpose",
		[]string{"TestServerBadConnections", "TestServerTamperedMessages"}, []string{"TestClientBadConnections", "TestClientTamperedMessages"},
		[]string{"uasc.TestShortSecuredChunks", "uasc.TestPaddingIsJudged", "uasc.FuzzNext", "TestNobodyRecovers"}, "",
	},
	{
		"HEL and ACK with tiny buffers, URLs of any length", "8192 bytes and 4096 bytes are the limits: ERR and the end",
		[]string{"TestServerBadConnections"}, []string{"TestClientBadConnections"}, []string{"uasc.TestLimitsAreTheSmallerOfBoth", "uasc.TestAcknowledgesThatCannotBe"}, "",
	},
	{
		"certificates with a key of another kind than the policy's, public keys that are no points of its curve", "BadCertificateInvalid, BadNonceInvalid before anything is calculated",
		[]string{"TestServerCertificateOfACurve", "TestServerCertificateOfTheOtherKind"}, []string{"TestClientBadCertificates", "TestClientKeysOfNobody"},
		[]string{"uasc.TestWhoMayOpen", "uasc.TestCertificatesOfTheOtherKind", "uasc.TestPublicKeysThatAreNone", "uasc.TestECCSignaturesThatAreNone"}, "",
	},
	{
		"chains that are loops or giants, malformed names", "32 KiB and 8 issuers are looked at, and no issuer twice",
		[]string{"TestServerBadConnections"}, []string{"TestClientBadCertificates"}, []string{"uasc.TestValidateInOrder", "uasc.FuzzCertificate"}, "",
	},
	{
		"connections that say nothing, and resets", "deadlines for handshake, message and idleness; only the listener's own errors end accepting",
		[]string{"TestServerDeadlines", "TestServerFlood"}, []string{"TestClientSilentServers", "TestClientDialErrorsSayHowFar"}, nil, "",
	},
	{
		"floods of OpenSecureChannel, storms of renewals", "rates for an address and for all, few operations with the private key at once, BadTcpServerTooBusy; two tokens a channel",
		[]string{"TestServerOpenRates", "TestServerOpenRatePerAddress", "TestServerStorm"}, []string{"TestClientRenewsNoFasterThanItShould"}, []string{"TestGate", "uasc.TestOneOpenAtATime", "uasc.TestTwoRenewalsWithoutAMessage"}, "",
	},
	{
		"messages again, in another order, of another token or channel", "sequence numbers are strict: the channel ends, the session can be taken up on another",
		[]string{"TestServerTamperedMessages", "TestServerSequenceNumbers"}, []string{"TestClientTamperedMessages"}, []string{"uasc.TestSequenceNumbers", "uasc.TestAChangedChunkIsRefused"}, "",
	},
	{
		"downgrades: another policy for the session than for the channel, tokens on other channels, endpoints that were tampered with", "a session is bound to channel, policy, mode, certificate and user; all that may be wrong with an OPN is one error",
		[]string{"TestServerForeignActivation", "TestServerReactivation", "TestServerUserStaysOnAnotherChannel", "TestServerDiscoveryOnly", "TestServerUntrustedClient"}, []string{"TestClientNoticesADowngrade", "TestClientIsKeptOut"},
		[]string{"uasc.TestAChangedOpenIsRefused", "uasc.TestARenewalChangesNothingElse", "uasc.TestSessionSignatures"}, "",
	},
	{
		"requests without a session, with a guessed token, answers to nothing", "the session is found before the body is looked at; a foreign answer ends the client's connection",
		[]string{"TestServerRequestsWithoutASession"}, []string{"TestClientForeignAnswersEndTheConnection"}, []string{"FuzzServer"}, "",
	},
	{
		"intervals of 0, NaN, infinity; lifetimes of 0 and 2^32-1", "all of them are revised to what makes sense, NaN is BadInvalidArgument",
		[]string{"TestServerBadSubscriptions"}, []string{"TestClientRevisedValuesHaveFloors"}, []string{"TestCreateSubscriptionRevises", "TestCreateMonitoredItemsRevises"}, "",
	},
	{
		"ids of subscriptions and items that nobody gave out", "an error of the operation, or of the request that names the subscription",
		[]string{"TestServerUnknownIds"}, nil, []string{"TestSubscriptionUnknownIds", "FuzzSubscriptionServices"}, "a client serves no ids",
	},
	{
		"sessions that are never activated, subscriptions that are left behind", "quotas of server, user, session and subscription; 10 s to activate; every subscription has a lifetime",
		[]string{"TestServerSessionQuotas", "TestServerSessionsOfAConnectionThatEnds", "TestServerSubscriptionsLeftBehind"}, nil, []string{"TestMonitoredItemQuotas", "TestTriggeringLinksAreBounded", "TestSubscriptionMemory"}, "a client keeps nothing for others",
	},
	{
		"browse paths of thousands of elements in circles", "100 elements, each node once an element, one budget of references for all paths of a request",
		[]string{"TestServerBrowsePathsInCircles"}, []string{"TestClientBrowsesNoCircles"}, []string{"TestTranslateIsBounded", "TestBrowseWorkIsBounded"}, "",
	},
	{
		"floods of calls, sessions that end while methods run", "one method of a session at a time, 100 requests wait, BadServerTooBusy; contexts end with CloseSession, Cancel, session and connection",
		[]string{"TestServerWorkEnds", "TestServerWorkEndsWithAConnectionGoneAtOnce", "TestServerWorkTimesOut", "TestServerWorkIsBounded", "TestServerWorkHoldsLittle", "TestServerWorkIsCancelled"}, nil, []string{"TestCallEndsWithItsRequest"}, "a client runs no methods",
	},
	{
		"peers that make workers wait, bodies that are cut or go on", "nobody waits for a peer but within a deadline; a request is read to its end before it is served",
		[]string{"TestServerBadBodies", "TestServerEndsSlowReaders", "TestServerEndsClientsThatNeverRead"}, []string{"TestClientGivesUpAServerThatAnswersNothing", "TestClientTimesOut", "TestClientWrongNumberOfResultsIsAnError"}, []string{"ua.TestNoPrefixOfAStructureIsOne"}, "",
	},
	{
		"nodes that come and go while others browse", "lists of references are replaced, never changed",
		[]string{"TestServerBrowseWhileNodesComeAndGo"}, nil, []string{"TestChangesWhileOthersLook", "TestBrowseNextGoesOnWhereNodesGo"}, "a client has no nodes",
	},
	{
		"old timestamps, and whatever else may draw a stack trace", "a fault is a status and nothing else; the reason of an ERR is made for people. Every test with a live server looks at what it gets",
		[]string{"TestServerFaultsSayNothing"}, nil, []string{"uasc.TestWhatAClientIsToldOfItsCertificate"}, "a client answers nobody",
	},
	{
		"slow readers, half-open connections, messages that are never acknowledged", "write deadline, bounded queues, silence is death",
		[]string{"TestServerEndsSlowReaders", "TestServerEndsClientsThatNeverRead", "TestSubscriptionOfASilentReader"}, []string{"TestClientSilenceIsDeath", "TestClientKeepsTheSessionAlive", "TestClientStopsAskingWhenTheReceiverHasEnough"},
		[]string{"TestNoticeQueueBudget", "TestSubBudgetShares"}, "",
	},
	{
		"rogue servers: empty answers at once, counts of 2^31, lifetimes of 0, chains and circles without end", "floors for every interval, Publish is paced, circles and continuation points are bounded",
		nil, []string{
			"TestClientPacesEmptyAnswers", "TestClientRogueCounts", "TestClientForeignAnswersEndTheConnection", "TestClientSessionTimeoutsHaveFloors", "TestClientRevisedValuesHaveFloors",
			"TestClientRenewsNoFasterThanItShould", "TestClientBrowsesNoCircles", "TestClientBrowsesOnAndStops", "TestClientBadConnections",
		}, []string{"uasc.TestAClientHasAFloorForLifetimes", "TestClientPublisherPauses", "FuzzClientAnswers", "FuzzClientStream"}, "a server asks nobody",
	},
	{
		"certificates that have expired, of another host or application, for another use, with SHA-1", "the order of Part 4 6.1.3; each check can be skipped at an endpoint, and is counted",
		[]string{"TestServerBadCertificates", "TestServerUntrustedClient", "TestServerBadCreateSession"}, []string{"TestClientJudgesCertificates", "TestClientIsKeptOut"}, []string{"uasc.TestValidateInOrder", "uasc.TestTheChecksAreDocumented"}, "",
	},
	{
		"JSON and PubSub", "neither is here, and no endpoint says so",
		[]string{"TestServerEndpoints"}, nil, nil, "UA Binary over TCP is all that a client speaks",
	},
}

// Every class has its tests, on both sides where it can, and each test that is named is there.
func TestBadInputList(t *testing.T) {
	if len(badInputs) != 27 {
		t.Errorf("%d classes", len(badInputs))
	}
	have := map[string]bool{}
	for prefix, dir := range map[string]string{"": ".", "ua.": "ua", "uasc.": "uasc"} {
		for _, name := range testsOf(t, dir) {
			have[prefix+name] = true
		}
	}
	for i, c := range badInputs {
		for _, name := range slices.Concat(c.server, c.client, c.below) {
			if !have[name] {
				t.Errorf("class %d: there is no test %s", i+1, name)
			}
		}
		if both := len(c.server) > 0 && len(c.client) > 0; both == (c.not != "") || len(c.server)+len(c.client) == 0 {
			t.Errorf("class %d: %d tests of a server, %d of a client, %q", i+1, len(c.server), len(c.client), c.not)
		}
	}
}

// parseAll reads the Go files of a directory, tests or what they test.
func parseAll(t *testing.T, dir string, tests bool) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatal(dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// testsOf returns the names of tests and fuzz targets.
func testsOf(t *testing.T, dir string) (names []string) {
	for _, f := range parseAll(t, dir, true) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// The list for people is this one.
func TestBadInputIsDocumented(t *testing.T) {
	const file = "../docs/opcua-bad-input.md"
	var b strings.Builder
	b.WriteString(badInputHead)
	for i, c := range badInputs {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s |\n", i+1, c.input, c.rule, cell(c.server, c.not), cell(c.client, c.not), cell(c.below, ""))
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(doc) != b.String() {
		t.Errorf("%s is not what badInputs says: go test ./opcua -run TestBadInputIsDocumented -update-list", file)
	}
}

const badInputHead = `# What OPC UA clients and servers survive

Classes of input that brought down one OPC UA stack or another, and the tests that hold our server and our client to each of them: nobody panics, a message takes no more than twice the limit of its size, the process and other sessions are served on, and
who sent it gets the status that is right. The table is made from the list in opcua/badinput_list_test.go, whose test fails when one of these tests is not there any more. Names with a package are in opcua/ua and opcua/uasc, the others in opcua.

There is no recover on a connection. A panic would be a mistake of ours, behind which nobody knows what state a session, a queue or a lock is in; and the worst of them, a stack that has no end, cannot be recovered from. Lengths are judged before they are used, decoders,
channel and services are fuzzed, and a process that dies all the same is started again by whoever runs it, with everything that was safe on disk.

| class | input | what we do | live server | live client | below |
|---|---|---|---|---|---|
`

// cell is a list of tests, or why there is none.
func cell(names []string, not string) string {
	if len(names) == 0 {
		return not
	}
	return "`" + strings.Join(names, "`, `") + "`"
}

// Nothing of what stands between a socket and a service recovers from a panic: the table says why.
func TestNobodyRecovers(t *testing.T) {
	for _, dir := range []string{".", "ua", "uasc", "nodeset", "../internal/listen", "../wire"} {
		for _, f := range parseAll(t, dir, false) {
			ast.Inspect(f, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					if id, ok := c.Fun.(*ast.Ident); ok && id.Name == "recover" {
						t.Errorf("%s/%s calls recover", dir, f.Name.Name)
					}
				}
				return true
			})
		}
	}
}
