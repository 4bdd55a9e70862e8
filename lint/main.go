// Command lint is golangci-lint with the linter ctxguard built in.
package main

import (
	"fmt"
	"os"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"

	_ "millrace/lint/plugin" // registers ctxguard
)

func main() {
	if err := commands.Execute(commands.BuildInfo{GoVersion: "unknown", Version: "v2 with ctxguard"}); err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(exitcodes.Failure)
	}
}
