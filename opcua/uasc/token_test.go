package uasc

import (
	"testing"
	"time"

	"millrace/opcua/ua"
)

const testLifetime = time.Minute

func TestRenewalSwitchesWhenThePeerHasTheToken(t *testing.T) {
	for _, s := range allSecurity {
		t.Run(s.String(), func(t *testing.T) {
			p := newPair(t, pairConfig{security: s})
			p.open(testLifetime)
			first := p.client.sending.Load().id
			p.now = p.now.Add(45 * time.Second)

			opn, err := p.client.AppendOpen(nil, 7, true, testLifetime, p.now)
			if err != nil {
				t.Fatal(err)
			}
			underway := p.seal(p.client, 8, []byte("behind the OPN, under the old token"))
			answer, opened, err := p.server.AcceptOpen(nil, p.one(p.server, opn), p.now)
			if err != nil || !opened.Renewed || opened.TokenID == first || opened.ChannelID != 4711 {
				t.Fatalf("%+v, %v", opened, err)
			}
			// The server goes on under the old token: the client may not have the new one yet.
			early := p.seal(p.server, 9, []byte("under the old token"))
			if m := p.one(p.server, underway); m.TokenID != first {
				t.Errorf("came under token %d", m.TokenID)
			}
			if got, err := p.client.Opened(p.one(p.client, answer), p.now); err != nil || got.TokenID != opened.TokenID {
				t.Fatalf("%+v, %v", got, err)
			}
			if m := p.one(p.client, early); m.TokenID != first {
				t.Errorf("came under token %d", m.TokenID)
			}
			// The client sends under the new one at once, and then the server does.
			if m := p.one(p.server, p.seal(p.client, 10, nil)); m.TokenID != opened.TokenID {
				t.Errorf("came under token %d", m.TokenID)
			}
			if m := p.one(p.client, p.seal(p.server, 11, nil)); m.TokenID != opened.TokenID {
				t.Errorf("came under token %d", m.TokenID)
			}
			if p.server.previous != nil || p.client.previous != nil {
				t.Error("an old token is kept")
			}
		})
	}
}

func TestAServerSendsUnderTheNewTokenWhenTheOldHasExpired(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[2]})
	p.open(testLifetime)
	p.now = p.now.Add(45 * time.Second)
	_, opened := p.token(true, testLifetime)
	p.now = p.now.Add(15 * time.Second)
	if m := p.one(p.client, p.seal(p.server, 1, nil)); m.TokenID != opened.TokenID {
		t.Errorf("came under token %d", m.TokenID)
	}
}

func TestTwoRenewalsWithoutAMessage(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[2]})
	p.open(testLifetime)
	p.now = p.now.Add(20 * time.Second)
	_, second := p.token(true, testLifetime)
	p.now = p.now.Add(20 * time.Second)
	p.token(true, testLifetime)
	// The client had the second token when it asked for the third.
	if m := p.one(p.client, p.seal(p.server, 1, nil)); m.TokenID != second.TokenID {
		t.Errorf("came under token %d, want %d", m.TokenID, second.TokenID)
	}
	p.send(p.client, p.server, 2, []byte("x"))
	p.send(p.server, p.client, 3, []byte("y"))
}

func TestATokenExpires(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[2]})
	p.open(testLifetime)
	// A server takes nothing under an expired token.
	p.now = p.now.Add(testLifetime - 1)
	p.send(p.client, p.server, 1, []byte("in time"))
	late := p.seal(p.client, 2, []byte("late"))
	fromServer := p.seal(p.server, 3, []byte("late"))
	atGrace := p.seal(p.server, 4, []byte("too late"))
	p.now = p.now.Add(1)
	_, _, err := p.server.Next(late, p.now)
	wantStatus(t, err, ua.BadSecureChannelTokenUnknown)
	// A client does for another quarter of its life.
	p.now = p.now.Add(testLifetime/4 - 1)
	p.one(p.client, fromServer)
	p.now = p.now.Add(1)
	_, _, err = p.client.Next(atGrace, p.now)
	wantStatus(t, err, ua.BadSecureChannelTokenUnknown)
}

func TestLifetimesAreRevised(t *testing.T) {
	for _, test := range []struct{ asked, want time.Duration }{
		{time.Second, 10 * time.Second}, {time.Minute, time.Minute}, {48 * time.Hour, time.Hour}, {0, time.Hour},
	} {
		p := newPair(t, pairConfig{security: allSecurity[0]})
		p.open(test.asked)
		got := p.client.sending.Load().expires.Sub(p.now)
		if got != test.want || p.server.sending.Load().expires.Sub(p.now) != test.want {
			t.Errorf("asked for %v, got %v, want %v", test.asked, got, test.want)
		}
	}
}

// A server that gives tokens of no length does not make a client renew all the time.
func TestAClientHasAFloorForLifetimes(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[0]})
	p.server.server.cfg.MinLifetime, p.server.server.cfg.MaxLifetime = 1, 1
	p.open(time.Hour)
	if got := p.client.sending.Load().expires.Sub(p.now); got != 10*time.Second {
		t.Errorf("lifetime %v", got)
	}
}

func TestRenewAtThreeQuarters(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[0]})
	p.open(time.Hour)
	client, server := p.token(true, testLifetime)
	want := p.now.Add(45 * time.Second)
	if !client.RenewAt.Equal(want) || !server.RenewAt.Equal(want) || !client.ExpiresAt.Equal(p.now.Add(testLifetime)) || client.Lifetime != testLifetime {
		t.Errorf("%+v and %+v", client, server)
	}
}

func TestARenewalChangesNothingElse(t *testing.T) {
	renew := func(t *testing.T, change func(p *pair)) error {
		p := newPair(t, pairConfig{security: allSecurity[2]})
		p.open(testLifetime)
		change(p)
		opn, err := p.client.AppendOpen(nil, 1, true, testLifetime, p.now)
		if err != nil {
			t.Fatal(err)
		}
		_, m, err := p.server.Next(opn, p.now)
		if err == nil {
			_, _, err = p.server.AcceptOpen(nil, m, p.now)
		}
		return err
	}
	for name, change := range map[string]func(p *pair){
		"policy":      func(p *pair) { p.client.security.Policy = Aes128Sha256RsaOaep },
		"none":        func(p *pair) { p.client.security = allSecurity[0] },
		"mode":        func(p *pair) { p.client.security.Mode = ua.MessageSecurityModeSign },
		"certificate": func(p *pair) { p.client.client.Identity = testIdentity(p.t, "another", 2048) },
	} {
		t.Run(name, func(t *testing.T) { wantStatus(t, renew(t, change), ua.BadSecurityChecksFailed) })
	}
	t.Run("channel", func(t *testing.T) {
		err := renew(t, func(p *pair) {
			other := *p.client.sending.Load()
			other.channel++
			p.client.sending.Store(&other)
		})
		wantStatus(t, err, ua.BadTcpSecureChannelUnknown)
	})
}

// gopcua's server renews under the id of the first token.
func TestAServerMayRenewUnderTheSameID(t *testing.T) {
	p := talked(t, allSecurity[2])
	p.server.lastToken--
	client, server := p.token(true, testLifetime)
	if client.TokenID != 1 || server.TokenID != 1 || p.client.previous != nil {
		t.Fatalf("%+v and %+v", client, server)
	}
	p.send(p.client, p.server, 1, []byte("x"))
	p.send(p.server, p.client, 2, []byte("y"))
}

func TestOneOpenAtATime(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[0]})
	p.open(0)
	if _, err := p.client.AppendOpen(nil, 1, false, 0, p.now); err == nil {
		t.Error("issued twice")
	}
	if _, err := p.client.AppendOpen(nil, 1, true, 0, p.now); err != nil {
		t.Error(err)
	}
	if _, err := p.client.AppendOpen(nil, 2, true, 0, p.now); err == nil {
		t.Error("renewed twice at a time")
	}
}

func TestSequenceNumbers(t *testing.T) {
	type step struct {
		n  uint32
		ok bool
	}
	for name, test := range map[string]struct {
		rule  SequenceRule
		steps []step
	}{
		"by one":            {SequenceStrict, []step{{51, true}, {52, true}, {53, true}}},
		"from 0":            {SequenceStrict, []step{{0, true}, {1, true}}},
		"twice":             {SequenceStrict, []step{{51, true}, {51, false}, {52, true}}},
		"back":              {SequenceStrict, []step{{51, true}, {50, false}}},
		"a gap":             {SequenceStrict, []step{{51, true}, {53, false}}},
		"a gap, greater":    {SequenceGreater, []step{{51, true}, {53, true}, {53, false}, {52, false}, {54, true}}},
		"wraps":             {SequenceStrict, []step{{4294966272, true}, {1, true}, {2, true}}},
		"wraps to 1023":     {SequenceStrict, []step{{4294966272, true}, {1023, true}}},
		"wraps too far":     {SequenceStrict, []step{{4294966272, true}, {1024, false}}},
		"wraps too early":   {SequenceStrict, []step{{4294966271, true}, {1, false}, {4294966272, true}}},
		"wraps at the end":  {SequenceStrict, []step{{4294967295, true}, {0, true}}},
		"wraps, greater":    {SequenceGreater, []step{{4294966272, true}, {5, true}, {4, false}}},
		"goes on near wrap": {SequenceStrict, []step{{4294966290, true}, {4294966291, true}}},
	} {
		var s sequence
		for i, step := range test.steps {
			if got := s.take(step.n, test.rule); got != step.ok {
				t.Errorf("%s: step %d, %d: %v", name, i, step.n, got)
			}
		}
	}
	sent := sequence{last: 4294966270}
	received := sequence{}
	for range 5 {
		if n := sent.next(); !received.take(n, SequenceStrict) {
			t.Errorf("what is sent does not follow: %d", n)
		}
	}
	if sent.last != 3 {
		t.Errorf("wrapped to %d", sent.last)
	}
}
