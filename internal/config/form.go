package config

import (
	"strconv"
	"time"
)

// article returns the form with its article, for "X is ..., not ...".
func (f form) article() string {
	switch f {
	case formText, formSecret:
		return "text"
	case formDuration:
		return "a duration"
	case formSize:
		return "a size"
	case formInteger:
		return "a whole number"
	case formNumber:
		return "a number"
	case formBool:
		return "true or false"
	case formChoice:
		return "a word"
	case formChoices, formList, formTexts, formActions:
		return "a list"
	case formTags, formNamed, formMapping, formParams, formOptions, formLabels:
		return "a mapping"
	case formFile:
		return "the path of a file"
	case formDeadband:
		return "a deadband"
	case formParam:
		return "a single value"
	case formTag:
		return "a string of an address and what is known of the value"
	case formProfile:
		return "the name of a profile"
	}
	return "form " + strconv.Itoa(int(f))
}

// bound writes a bound of the key's value as one would write the value.
func (f *facts) bound(v float64) string {
	switch f.form {
	case formDuration:
		return time.Duration(v * float64(time.Second)).String()
	case formSize:
		return FormatSize(int64(v))
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
