package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/internal/device"
	"millrace/internal/driver"
)

var update = flag.Bool("update", false, "write the expected outputs anew")

func drivers() map[string]device.Driver {
	return map[string]device.Driver{"modbus": driver.Modbus{}, "s7": driver.S7{}, "opcua": driver.OPCUA{}}
}

// golden compares got with the file, or writes the file when -update is set.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the difference\n--- got\n%s\n--- want\n%s", file, got, want)
	}
}

// TestBadFiles loads each file of testdata/bad and compares every error with the .err file beside it.
func TestBadFiles(t *testing.T) {
	t.Setenv("MILLRACE_TEST_SECRET", "hunter22")
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	if len(files) < 20 {
		t.Fatalf("%d bad files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			c, err := Load(file, drivers())
			if err == nil {
				t.Fatal("loaded")
			}
			var list Errors
			if !errors.As(err, &list) || len(c.Devices) != 0 || len(c.Files) == 0 {
				t.Fatalf("error %T, %d devices, files %v", err, len(c.Devices), c.Files)
			}
			got := filepath.ToSlash(err.Error()) + "\n"
			if strings.Contains(got, "hunter22") {
				t.Error("a secret is printed")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".err", strings.ReplaceAll(got, "testdata/bad/", ""))
		})
	}
}
