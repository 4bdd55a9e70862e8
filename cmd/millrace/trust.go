package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"millrace/opcua/uasc"
)

// pkiFolder is where a gateway keeps its own certificate and the trust list, below its data directory.
const pkiFolder = "pki"

func newTrustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust list|accept|reject",
		Short: "Say which OPC UA certificates are trusted",
		Long: `Trust looks after the list of certificates of a gateway: those of the OPC UA servers that it reads and of the clients that read it. A certificate that
was refused is kept under "rejected" with who refused whom, when and why; accept moves it into the list, reject moves it out again. A gateway that runs
notices within a second.

Compare the fingerprint with the one that the other application shows before you accept it. Revocation lists go into pki/trusted/crl or pki/issuers/crl by hand.`,
		Example: "  millrace trust list -c gateway.yaml\n  millrace trust accept 5f0c2a9b11 -c gateway.yaml",
	}
	needsVerb(cmd)
	cmd.AddCommand(newTrustListCommand(), newTrustAcceptCommand(), newTrustRejectCommand())
	return cmd
}

// trustPlace says where the list is: --pki, or -c with the gateway's data directory.
type trustPlace struct {
	pki, config string
}

func (p *trustPlace) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.pki, "pki", "", "folder of the trust list, for one that is no gateway's")
	cmd.Flags().StringVarP(&p.config, "config", "c", "", "configuration of the gateway whose list it is")
}

// open opens the list. It makes no folders: a wrong path is a mistake, not a new list.
func (p *trustPlace) open(cmd *cobra.Command) (*uasc.TrustStore, error) {
	dir := p.pki
	switch {
	case (p.pki == "") == (p.config == ""):
		return nil, usageError(fmt.Errorf("say which list: -c FILE of a gateway, or --pki DIR; see '%s --help'", cmd.CommandPath()))
	case p.config != "":
		cfg, err := loadConfig(p.config, cmd.ErrOrStderr())
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(cfg.Gateway.Data, pkiFolder)
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, usageError(fmt.Errorf("there is no trust list yet: %w; a gateway with OPC UA makes it when it starts", err))
	}
	return uasc.OpenTrustStore(dir, uasc.TrustStoreConfig{})
}

func newTrustListCommand() *cobra.Command {
	var place trustPlace
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show own, trusted, issuers' and rejected certificates, and who rejected whom",
		Long: `List shows the certificates by list: own (the gateway's, for others to compare), trusted, issuer (their signature counts only under a trusted one),
rejected.

With --json it prints an array of {"list","thumbprint","sha256","subject","issuer","application_uri","not_before","not_after","file","problem",
"rejected":{"thumbprint","by","peer","check","status","reason","first","last","count"}}; what a file has not is left out.`,
		Example: "  millrace trust list -c gateway.yaml\n  millrace trust list --pki ./data/pki --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := place.open(cmd)
			if err != nil {
				return err
			}
			entries, err := store.List()
			if err != nil {
				return err
			}
			if asJSON {
				if entries == nil {
					entries = []uasc.TrustEntry{}
				}
				return json.NewEncoder(cmd.OutOrStdout()).Encode(entries)
			}
			return writeTrust(cmd.OutOrStdout(), entries)
		},
	}
	place.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeTrust prints the list for people. What comes out of a certificate is quoted: anybody may have written it.
func writeTrust(w io.Writer, entries []uasc.TrustEntry) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(w, "no certificates")
		return err
	}
	list := ""
	for _, e := range entries {
		if e.List != list {
			list = e.List
			fmt.Fprintf(w, "%s:\n", list)
		}
		if err := writeTrustEntry(w, e); err != nil {
			return err
		}
	}
	return nil
}

func writeTrustEntry(w io.Writer, e uasc.TrustEntry) error {
	if e.Problem != "" {
		_, err := fmt.Fprintf(w, "  %q is no certificate: %s\n", e.File, e.Problem)
		return err
	}
	fmt.Fprintf(w, "  %s  %q  %q\n", e.Thumbprint, e.Subject, e.ApplicationURI)
	fmt.Fprintf(w, "    sha256 %s, valid %s to %s\n", e.SHA256, e.NotBefore.Format(time.DateOnly), e.NotAfter.Format(time.DateOnly))
	r := e.Rejected
	if r == nil {
		return nil
	}
	fmt.Fprintf(w, "    refused by %q", r.By)
	if r.Peer != "" {
		fmt.Fprintf(w, ", came from %q", r.Peer)
	}
	_, err := fmt.Fprintf(w, ": %s %s\n    %d times, first %s, last %s\n", r.Status, r.Reason, r.Count, r.First.UTC().Format(time.RFC3339), r.Last.UTC().Format(time.RFC3339))
	if hint := acceptHint(r); hint != "" && err == nil {
		_, err = fmt.Fprintf(w, "    %s\n", hint)
	}
	return err
}

// acceptHint says when to accept a certificate is not enough: what was wrong with it has nothing to do with the list.
func acceptHint(r *uasc.Rejection) string {
	trust := uasc.CheckTrust.String()
	if r == nil || r.Check == trust || r.Check == "" {
		return ""
	}
	return fmt.Sprintf("accepting it does not change that; a device that should overlook it has skip_checks=%s in its address", r.Check)
}

func newTrustAcceptCommand() *cobra.Command {
	var place trustPlace
	var issuer, asJSON bool
	cmd := &cobra.Command{
		Use:   "accept FINGERPRINT|FILE...",
		Short: "Trust a certificate that was rejected, or one in a file",
		Long: `Accept moves rejected certificates into the trusted ones, or copies certificates out of files. A fingerprint is the SHA-1 or the SHA-256 that list
shows, or its first digits, at least 6. To trust a certificate that signed others is to trust all those.

With --issuer the certificates of files become issuers: they complete chains, and are not trusted themselves.`,
		Example: "  millrace trust accept 5f0c2a9b11 -c gateway.yaml\n  millrace trust accept plant-ca.pem --pki ./data/pki",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := place.open(cmd)
			if err != nil {
				return err
			}
			return changeTrust(cmd, args, asJSON, func(arg string) (uasc.TrustEntry, error) {
				if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() {
					return store.Add(arg, issuer)
				}
				if issuer {
					return uasc.TrustEntry{}, usageError(fmt.Errorf("%s is no file, and --issuer takes files alone", arg))
				}
				return store.Accept(arg)
			})
		},
	}
	place.flags(cmd)
	cmd.Flags().BoolVar(&issuer, "issuer", false, "as issuers, which are not trusted themselves")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newTrustRejectCommand() *cobra.Command {
	var place trustPlace
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reject FINGERPRINT...",
		Short: "Trust a certificate no longer",
		Long: `Reject moves trusted certificates, or issuers, into the rejected ones, where accept finds them. A connection that stands with such a certificate ends when
its channel is to be renewed, an hour later at most.`,
		Example: "  millrace trust reject 5f0c2a9b11 -c gateway.yaml",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := place.open(cmd)
			if err != nil {
				return err
			}
			return changeTrust(cmd, args, asJSON, func(arg string) (uasc.TrustEntry, error) {
				return store.Reject(arg, "millrace trust reject", time.Now())
			})
		},
	}
	place.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// changeTrust does one thing with each certificate and says what became of it. One that fails does not keep the others from it.
func changeTrust(cmd *cobra.Command, args []string, asJSON bool, change func(string) (uasc.TrustEntry, error)) error {
	var errs []error
	done := []uasc.TrustEntry{}
	for _, arg := range args {
		e, err := change(arg)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, e)
		if !asJSON {
			fmt.Fprintf(cmd.OutOrStdout(), "%s %q is now %s: %s\n", e.Thumbprint, e.Subject, e.List, e.File)
		}
	}
	if asJSON {
		errs = append(errs, json.NewEncoder(cmd.OutOrStdout()).Encode(done))
	}
	return errors.Join(errs...)
}
