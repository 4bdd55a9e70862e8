package config

import "strings"

// Nearest returns the known name that was probably meant by name, "" when none is near. A name is near when a third of its letters
// at most, and three at most, would have to change; letter case, - and _ do not count.
func Nearest(name string, known []string) string {
	best, meant := 4, ""
	folded := fold(name)
	for _, k := range known {
		other := fold(k)
		limit := min(best-1, 1+max(len(folded), len(other))/4)
		if d := distance(folded, other, limit); d <= limit {
			best, meant = d, k
		}
	}
	return meant
}

func fold(s string) string {
	if len(s) > 64 { // no key is as long
		s = s[:64]
	}
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

// distance returns how many bytes must be inserted, removed, replaced or swapped with their neighbour to turn a into b, or more
// than limit when that is more than limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	var before, row, next = make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(next[j-1]+1, row[j]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
