package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"millrace/opcua"
)

func newUserCommand() *cobra.Command {
	var roles string
	cmd := &cobra.Command{
		Use:   "user NAME",
		Short: "Make the line of a user of the gateway's OPC UA server",
		Long: `User reads a password from standard input, up to the end of its first line, and prints a line with the user's name, roles and the password's
argon2id hash. A file of such lines is what serve.users of the configuration names. The password itself is kept nowhere.

Roles are read, write and admin, who sees whose sessions there are. Who has write may write the tags that have rw, as far as their rules allow; a rule may ask for
admin.`,
		Example: "  millrace user shift --roles read < password.txt >> users.txt",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := userLine(args[0], roles, cmd.InOrStdin())
			if err != nil {
				return usageError(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), line)
			return nil
		},
	}
	cmd.Flags().StringVar(&roles, "roles", "read", "what the user may do: read, write and admin, separated by commas")
	return cmd
}

// userLine returns the line of a user, with the first line of in as password.
func userLine(name, roles string, in io.Reader) (string, error) {
	if strings.ContainsFunc(name, unicode.IsSpace) || name == "" || strings.HasPrefix(name, "#") {
		return "", fmt.Errorf("%q is no name for a user: it has no spaces, and does not begin with #", name)
	}
	r, err := opcua.ParseRoles(roles)
	if err != nil {
		return "", err
	}
	password, err := bufio.NewReader(io.LimitReader(in, 64<<10)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	password = bytes.TrimRight(password, "\r\n")
	if len(password) == 0 {
		return "", errors.New("there is no password on standard input")
	}
	hash, err := opcua.HashPassword(password)
	if err != nil {
		return "", err
	}
	line := name + " " + r.String() + " " + hash
	if _, err := opcua.ReadUsers(bytes.NewReader([]byte(line))); err != nil { // what the server will say of it
		return "", err
	}
	return line, nil
}
