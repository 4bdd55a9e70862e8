package rule

import (
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// sizes tells the estimate how long lists and texts can be that come from outside the condition. Without it they could be of any length, and
// everything would cost too much.
type sizes struct{ env *Env }

func (s sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	switch n.Type().Kind() {
	case types.ListKind:
		return &cost.SizeEstimate{Max: s.length(n.Path())}
	case types.MapKind:
		return &cost.SizeEstimate{Max: maxTexts}
	case types.StringKind:
		return &cost.SizeEstimate{Max: maxText}
	}
	return nil
}

// length follows path from a variable over fields and elements to the list that it names.
func (s sizes) length(path []string) uint64 {
	vars := s.env.vars
	length := uint64(defaultMax)
	for _, p := range path {
		for _, v := range vars {
			if v.Name == p {
				if length = v.max(); v.Object != nil {
					vars = v.Object.Fields
				}
				break
			}
		}
	}
	return length
}
