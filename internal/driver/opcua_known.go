package driver

import (
	"encoding/json"

	"millrace/internal/device"
	"millrace/opcua"
)

// opcuaKept is what is kept of a server over sessions and restarts, as JSON in device.Limits.Server. The endpoint spares a server the discovery, which is a connection of its own where there is security.
type opcuaKept struct {
	URL      string        `json:"url"` // that it is of: a device may have several addresses
	Endpoint []byte        `json:"endpoint"`
	Learned  opcua.Learned `json:"learned"`
}

// keep returns what is to be kept of the server.
func (s *opcuaSession) keep() string {
	b, err := json.Marshal(opcuaKept{URL: s.opts.url, Endpoint: s.client.Known().AppendTo(nil), Learned: s.client.Learned()})
	if err != nil {
		return "" // which is nothing new
	}
	return string(b)
}

// keptOf returns what an earlier session has kept of the server at url. What cannot be read counts as nothing: the server is asked again.
func keptOf(text, url string) (*opcua.KnownEndpoint, opcua.Learned) {
	var k opcuaKept
	if text == "" || json.Unmarshal([]byte(text), &k) != nil || k.URL != url {
		return nil, opcua.Learned{}
	}
	e, err := opcua.ParseKnownEndpoint(k.Endpoint)
	if err != nil {
		return nil, k.Learned
	}
	return e, k.Learned
}

// tellLesson tells what refusals have taught since it was told last.
func (s *opcuaSession) tellLesson() {
	if l := s.client.Learned(); l != s.lesson {
		s.lesson = l
		s.obs.Learned(device.Limits{MaxItems: l.Operations.Read, Server: s.keep()})
	}
}
