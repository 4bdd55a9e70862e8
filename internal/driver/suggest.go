package driver

import "strings"

// didYouMean returns the name that word most likely was meant to be, "" when none is near: at most two edits away, and less
// than half of the word.
func didYouMean(word string, names []string) string {
	word = strings.ToLower(word)
	best, distance := "", min(3, (len(word)+1)/2+1)
	for _, n := range names {
		if d := editDistance(word, n); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// editDistance is the number of characters inserted, deleted, replaced or swapped with their neighbour between a and b.
func editDistance(a, b string) int {
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur := make([]int, len(b)+1)
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev = prev, cur
	}
	return prev[len(b)]
}
