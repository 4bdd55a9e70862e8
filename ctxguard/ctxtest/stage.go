package ctxtest

// Stage is when a peer falls silent.
type Stage uint8

// The stages.
const (
	// Silent: nothing comes, neither to a connect nor to a request.
	Silent Stage = iota
	// Streaming: the answer begins, and then nothing more comes.
	Streaming
)
