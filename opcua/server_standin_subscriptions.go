package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// What is here refuses until the subscriptions stand: subscription*.go, monitored*.go and sampler*.go are S3's, who deletes this file piece by piece.

// subscriptions is a server's: all subscriptions, their sweep and their samplers. Made by NewServer.
type subscriptions struct{}

func newSubscriptions(s *Server) *subscriptions { return &subscriptions{} }

// run is the goroutine of the sweep, from the first Serve to the end of the last. S1 starts it and waits for it.
func (p *subscriptions) run(ctx context.Context) { <-ctx.Done() }

// SubscriptionLimits bounds subscriptions and monitored items.
type SubscriptionLimits struct{}

// sessionSubscriptions is what a session has of them. session.subs holds it; nil until it is needed.
type sessionSubscriptions struct{}

// detach is called when the session leaves a connection, because that ends or because the session was activated on another one: the Publish requests that wait
// are of that connection and can no longer be answered. Called without locks, by the connection's goroutine or by that of the new one.
func (p *subscriptions) detach(x *session, from *serverConn) {}

// sessionEnded is called once when a session is over, by CloseSession (with its DeleteSubscriptions), time-out (false) or shutdown (true). Publish requests that
// wait get BadSessionClosed.
func (p *subscriptions) sessionEnded(x *session, deleteSubscriptions bool) {}

// cancel answers the Publish requests of the session that have this RequestHandle with BadRequestCancelledByClient, and returns how many there were.
func (p *subscriptions) cancel(x *session, handle uint32) uint32 { return 0 }

// diagnostics appends a SubscriptionDiagnosticsDataType for each subscription; for the variable i=2290.
func (p *subscriptions) diagnostics(to []ua.ExtensionObject) []ua.ExtensionObject { return to }

// counts returns how many subscriptions there are now and how many were ever made.
func (p *subscriptions) counts() (now, ever uint32) { return 0, 0 }

// servePublish takes the request: it keeps c.late() and answers later through late.begin and late.send. A bad status is sent at once.
func (s *Server) servePublish(ctx context.Context, c *call, d *ua.Decoder) ua.StatusCode {
	return ua.BadServiceUnsupported
}

func (s *Server) serveCreateMonitoredItems(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveModifyMonitoredItems(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveSetMonitoringMode(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveSetTriggering(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveDeleteMonitoredItems(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveCreateSubscription(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveModifySubscription(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveSetPublishingMode(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveRepublish(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveTransferSubscriptions(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

func (s *Server) serveDeleteSubscriptions(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	return out, ua.BadServiceUnsupported
}

// callGetMonitoredItems returns the handles of a subscription's items, the server's and the client's.
func (s *Server) callGetMonitoredItems(c *call, subscription uint32) (server, client []uint32, status ua.StatusCode) {
	return nil, nil, ua.BadSubscriptionIdInvalid
}

// callResendData has a subscription send all its values again.
func (s *Server) callResendData(c *call, subscription uint32) ua.StatusCode {
	return ua.BadSubscriptionIdInvalid
}
