package opcua

import (
	"context"
	"slices"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
	"millrace/opcua/uasc"
)

// serveValues makes the variables of the Server object live. A Space belongs to the last Server that was made with it.
func (s *Server) serveValues() error {
	for id, value := range s.liveValues() {
		live := func(_ context.Context, v *ua.DataValue) {
			v.Value = value()
			v.SourceTimestamp = ua.DateTimeOf(time.Now())
		}
		if err := s.space.SetLive(ua.NumericId(0, id), live); err != nil {
			return err
		}
	}
	s.space.sessions.Store(newSessionNodes(s))
	for _, id := range [...]uint32{diagnosticsOfSessions, diagnosticsOfSecurity} {
		if err := s.space.SetRoles(ua.NumericId(0, id), RoleAdmin, RoleAdmin); err != nil {
			return err
		}
	}
	return nil
}

// The variables that tell of everybody's sessions.
const (
	diagnosticsOfSessions = ns0.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray
	diagnosticsOfSecurity = ns0.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray
)

// liveValues are the values by their ids in namespace 0. Any goroutine may call them.
func (s *Server) liveValues() map[uint32]func() ua.Variant {
	started := ua.DateTimeOf(time.Now())
	info := ua.BuildInfo{
		ProductUri: s.cfg.ProductURI, ManufacturerName: "Millrace", ProductName: s.cfg.ApplicationName, SoftwareVersion: s.cfg.SoftwareVersion,
	}
	status := func() ua.Variant {
		st := s.status(started, info)
		return ua.ExtensionObjectValue(ua.Wrap(&st))
	}
	text := func(t string) func() ua.Variant { return func() ua.Variant { return ua.String(t) } }
	values := map[uint32]func() ua.Variant{
		ns0.Server_ServerArray:                                    func() ua.Variant { return ua.StringArray([]string{s.applicationURI()}) },
		ns0.Server_ServiceLevel:                                   func() ua.Variant { return ua.Byte(s.serviceLevel()) },
		ns0.Server_Auditing:                                       func() ua.Variant { return ua.Bool(false) },
		ns0.Server_ServerStatus:                                   status,
		ns0.Server_ServerStatus_StartTime:                         func() ua.Variant { return ua.DateTimeValue(started) },
		ns0.Server_ServerStatus_CurrentTime:                       func() ua.Variant { return ua.DateTimeValue(ua.DateTimeOf(time.Now())) },
		ns0.Server_ServerStatus_State:                             func() ua.Variant { return ua.Int32(int32(s.state())) },
		ns0.Server_ServerStatus_SecondsTillShutdown:               func() ua.Variant { return ua.UInt32(s.secondsTillShutdown()) },
		ns0.Server_ServerStatus_ShutdownReason:                    func() ua.Variant { return ua.LocalizedTextValue(s.shutdownReason()) },
		ns0.Server_ServerStatus_BuildInfo:                         func() ua.Variant { return ua.ExtensionObjectValue(ua.Wrap(&info)) },
		ns0.Server_ServerStatus_BuildInfo_ProductUri:              text(info.ProductUri),
		ns0.Server_ServerStatus_BuildInfo_ManufacturerName:        text(info.ManufacturerName),
		ns0.Server_ServerStatus_BuildInfo_ProductName:             text(info.ProductName),
		ns0.Server_ServerStatus_BuildInfo_SoftwareVersion:         text(info.SoftwareVersion),
		ns0.Server_ServerStatus_BuildInfo_BuildNumber:             text(info.BuildNumber),
		ns0.Server_ServerStatus_BuildInfo_BuildDate:               func() ua.Variant { return ua.DateTimeValue(info.BuildDate) },
		ns0.Server_ServerCapabilities_ServerProfileArray:          func() ua.Variant { return ua.StringArray(s.profiles()) },
		ns0.Server_ServerCapabilities_LocaleIdArray:               func() ua.Variant { return ua.StringArray([]string{}) },
		ns0.Server_ServerCapabilities_MaxArrayLength:              func() ua.Variant { return ua.UInt32(uint32(s.limits().ArrayLength)) },
		ns0.Server_ServerCapabilities_MaxStringLength:             func() ua.Variant { return ua.UInt32(uint32(s.limits().StringLength)) },
		ns0.Server_ServerCapabilities_MaxByteStringLength:         func() ua.Variant { return ua.UInt32(uint32(s.limits().ByteStringLength)) },
		ns0.Server_ServerCapabilities_MaxSessions:                 func() ua.Variant { return ua.UInt32(s.cfg.Quotas.Sessions) },
		ns0.Server_ServerDiagnostics_EnabledFlag:                  func() ua.Variant { return ua.Bool(true) },
		ns0.Server_ServerDiagnostics_SubscriptionDiagnosticsArray: func() ua.Variant { return ua.ExtensionObjectArray(s.subs.diagnostics(nil)) },
		diagnosticsOfSessions:                                     func() ua.Variant { return ua.ExtensionObjectArray(s.sessionDiagnostics()) },
		diagnosticsOfSecurity:                                     func() ua.Variant { return ua.ExtensionObjectArray(s.securityDiagnostics()) },
	}
	s.addSummary(values)
	s.subscriptionValues(values)
	return values
}

// limits are those of what is decoded.
func (s *Server) limits() ua.Limits { return s.cfg.Limits.WithDefaults() }

// status is the whole of ServerStatus.
func (s *Server) status(started ua.DateTime, info ua.BuildInfo) ua.ServerStatusDataType {
	return ua.ServerStatusDataType{
		StartTime: started, CurrentTime: ua.DateTimeOf(time.Now()), State: s.state(), BuildInfo: info,
		SecondsTillShutdown: s.secondsTillShutdown(), ShutdownReason: s.shutdownReason(),
	}
}

func (s *Server) state() ua.ServerState {
	if _, halting := s.shutdown(); halting {
		return ua.ServerStateShutdown
	}
	return ua.ServerStateRunning
}

func (s *Server) secondsTillShutdown() uint32 {
	at, halting := s.shutdown()
	if !halting {
		return 0
	}
	return uint32(max(time.Until(at), 0) / time.Second)
}

func (s *Server) shutdownReason() (t ua.LocalizedText) {
	if _, halting := s.shutdown(); halting {
		t.Text = "the server is being stopped"
	}
	return t
}

// serviceLevel says how well the server can do its work [OPC 10000-4 6.6.2.4.2]: there is no other that could do better, and one that goes is in maintenance.
func (s *Server) serviceLevel() uint8 {
	if _, halting := s.shutdown(); halting {
		return 0
	}
	return 255
}

// profiles are what the server has whole [OPC 10000-7 6.6]. Standard 2017 is not among them: the server does not register itself with a discovery server.
func (s *Server) profiles() []string {
	const server = "http://opcfoundation.org/UA-Profile/Server/"
	list := []string{
		server + "Core2017Facet", server + "StandardDataChangeSubscription2017", server + "EnhancedDataChangeSubscription2017", server + "Methods",
		server + "ReverseConnect", uaTCPProfile,
	}
	policies := endpointPolicies(&s.cfg)
	if slices.ContainsFunc(policies, func(p uasc.Policy) bool { return p != uasc.None }) {
		list = append(list, server+"EmbeddedUA2017")
	}
	for _, p := range policies {
		list = append(list, p.URI())
	}
	return append(list, s.tokenProfiles()...)
}

// tokenProfiles are the kinds of user tokens.
func (s *Server) tokenProfiles() (list []string) {
	const token = "http://opcfoundation.org/UA-Profile/Security/UserToken/"
	for kind, name := range map[UserTokens]string{TokenAnonymous: "Anonymous", TokenPassword: "Server/UserNamePassword", TokenCertificate: "Server/X509Certificate"} {
		if s.cfg.UserTokens&kind != 0 {
			list = append(list, token+name)
		}
	}
	slices.Sort(list)
	return list
}
