package web

import (
	"errors"
	"net/http"
	"strconv"

	"millrace/internal/why"
)

// Explainer is a Source that can say why a device or a tag is bad.
type Explainer interface {
	// Why explains a device, or a tag by its full name, from what is known now. A name that is neither is an *UnknownError. It answers from memory.
	Why(name string) (why.Explanation, error)
}

// why explains of=DEVICE or of=DEVICE/TAG.
func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	todo := "ask for of=DEVICE or of=DEVICE/TAG; GET /api/v1/devices and /api/v1/tags list them"
	name := r.URL.Query().Get("of")
	x, able := s.src.(Explainer)
	switch {
	case name == "":
		writeError(w, http.StatusBadRequest, "of what is missing", todo)
		return
	case !able:
		writeError(w, http.StatusNotFound, "this gateway does not explain", "see the reason of the device: GET /api/v1/devices/"+name)
		return
	}
	e, err := x.Why(name)
	if err != nil {
		var unknown *UnknownError
		if errors.As(err, &unknown) && unknown.Near != "" {
			todo = "did you mean " + unknown.Near + "? " + todo
		}
		writeError(w, http.StatusNotFound, "no device and no tag named "+strconv.Quote(name), todo)
		return
	}
	writeJSON(w, http.StatusOK, e)
}
