package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// opcuaPlant serves a folder with a level, a setpoint and an array, and returns its URL.
func opcuaPlant(t *testing.T) string {
	t.Helper()
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:plant"})
	if err != nil {
		t.Fatal(err)
	}
	add := func(parent ua.NodeId, n opcua.Node) {
		t.Helper()
		n.BrowseName.NamespaceIndex, n.ValueRank = 1, -1
		if n.Value.Value.IsArray() {
			n.ValueRank = 1
		}
		n.DataType = ua.NumericId(0, uint32(n.Value.Value.Type()))
		if err := space.Add(parent, ua.NumericId(0, ns0.HasComponent), n); err != nil {
			t.Fatal(err)
		}
	}
	tank := ua.StringId(1, "tank")
	add(ua.NumericId(0, ns0.ObjectsFolder), opcua.Node{Id: tank, Class: ua.NodeClassObject, BrowseName: ua.QualifiedName{Name: "Main Tank"}})
	for name, v := range map[string]ua.Variant{"level": ua.Double(1.5), `"DB 1"."set"`: ua.Int16(7), "{row}": ua.Int32Array([]int32{1, 2})} {
		add(tank, opcua.Node{Id: ua.StringId(1, name), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{Name: name}, Value: ua.DataValue{Value: v},
			AccessLevel: opcua.AccessCurrentRead | opcua.AccessCurrentWrite})
	}
	srv, err := opcua.NewServer(opcua.ServerConfig{Space: space, ApplicationName: "Hall 7", AnonymousRoles: opcua.RoleRead | opcua.RoleWrite})
	if err != nil {
		t.Fatal(err)
	}
	return "opc.tcp://" + listentest.Serve(t, srv).Addr
}

// nobodyThere is the URL of a port on which nobody listens.
func nobodyThere(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "opc.tcp://" + ln.Addr().String()
}

// TestOPCUACommands reads, writes and browses a server, and reads it with the configuration that browse has written.
func TestOPCUACommands(t *testing.T) {
	url := opcuaPlant(t)
	run := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := execute(t.Context(), args, &stdout, &stderr); code != want {
			t.Errorf("%q: exit code %d, %s%s", args, code, &stdout, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	if got := run(exitOK, "read", url, "ns=1;s=level", "/Objects/1:Main Tank/1:{row};[1]"); !strings.Contains(got, "1.5") || !strings.Contains(got, "int32") {
		t.Error(got)
	}
	run(exitOK, "write", url, `nsu=urn:plant;s="DB 1"."set"=8`)
	if got := run(exitFailed, "read", url, `ns=1;s="DB 1"."set"`, "ns=1;s=nothing"); !strings.Contains(got, "8") || !strings.Contains(got, "BadNodeIdUnknown") {
		t.Error(got)
	}
	if got := run(exitUsage, "read", url+"?mode=push", "i=2258"); !strings.Contains(got, "auto, poll, subscribe") {
		t.Error(got)
	}
	run(exitUsage, "read", url, "ns=2,s=a")
	for _, args := range [][]string{{"read", url + "?security=Basic256Sha256", "i=2258"}, {"write", url + "?security=sign", "ns=1;s=level=2"}, {"browse", url + "?security=encrypt"}} {
		if got := run(exitUsage, args...); !strings.Contains(got, "add pki") || strings.Contains(got, "no communication") {
			t.Error(got)
		}
	}
	for _, args := range [][]string{{"read", nobodyThere(t), "i=2258"}, {"write", nobodyThere(t), "ns=1;s=level=2"}, {"browse", nobodyThere(t)}} {
		if got := run(exitFailed, args...); !strings.Contains(got, "nothing listens on this port: is the server running") {
			t.Error(got)
		}
	}
	tree := run(exitOK, "browse", url)
	for _, want := range []string{"Hall 7", "namespace 1", "urn:plant", "Main Tank", "Int32[]", "rw", `nsu=urn:plant;s="DB 1"."set"`} {
		if !strings.Contains(tree, want) {
			t.Errorf("%q is not in\n%s", want, tree)
		}
	}
	var survey surveyJSON
	if err := json.Unmarshal([]byte(run(exitOK, "browse", url, "--json")), &survey); err != nil || len(survey.Nodes) < 4 || len(survey.Facts) < 4 {
		t.Errorf("%v, %+v", err, survey)
	}
	run(exitUsage, "browse", url, "--json", "--yaml")
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	text := run(exitOK, "browse", url+"?security=none", "--yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var open, notes bytes.Buffer
	if code := execute(t.Context(), []string{"browse", url, "--yaml"}, &open, &notes); code != exitOK || !strings.Contains(open.String(), "      security: \"none\"\n") || !strings.Contains(notes.String(), "security: none is written") {
		t.Errorf("exit code %d, %s%s", code, &open, &notes)
	}
	asIs := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(asIs, open.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(exitOK, "check", "-c", asIs)
	if got := run(exitOK, "test", "-c", asIs); !strings.Contains(got, "3 tags, 0 bad") {
		t.Error(got)
	}
	run(exitOK, "check", "-c", file)
	if got := run(exitOK, "plan", "-c", file); !strings.Contains(got, "publish 1-3") {
		t.Error(got)
	}
	got := run(exitOK, "test", "-c", file)
	for _, want := range []string{"Hall_7/Main_Tank/level", "1.5", "[1,2]", "3 tags, 0 bad"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s\n%s", want, got, text)
		}
	}
}
