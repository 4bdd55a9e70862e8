package web

import (
	"strings"
	"testing"
)

// A key that the audit log would have to change is refused: after a restart it would be another one.
func TestKeyIsText(t *testing.T) {
	text := "1"
	_, err := (&Server{}).order(&writeBody{Tag: "press/temp", Text: &text}, "a\xffb")
	if err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("%v", err)
	}
}
