package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// What is here refuses until the address space stands: space*.go and serve_*.go are S2's, who deletes this file piece by piece.

// Space is what a server shows.
type Space struct{ uri string }

// SpaceConfig is what a Space is made with.
type SpaceConfig struct{ ApplicationURI string }

// NewSpace returns an empty one.
func NewSpace(cfg SpaceConfig) (*Space, error) { return &Space{uri: cfg.ApplicationURI}, nil }

// Namespaces returns the NamespaceArray.
func (p *Space) Namespaces() []string { return []string{"http://opcfoundation.org/UA/", p.uri} }

// SetLive makes f answer the value of a variable.
func (p *Space) SetLive(id ua.NodeId, f func(context.Context, *ua.DataValue)) error { return nil }

// Caller is who asks.
type Caller struct {
	Session ua.NodeId
	User    string
	Roles   Roles
}

// browsePoints is what a session keeps for Browse and HistoryRead.
type browsePoints struct{}

func (p *browsePoints) clear() {}

// nodeAliases is what a session keeps for RegisterNodes.
type nodeAliases struct{}

func (s *Server) serveRead(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveWrite(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveBrowse(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveBrowseNext(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveTranslateBrowsePaths(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveRegisterNodes(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveUnregisterNodes(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveCall(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveHistoryRead(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}
