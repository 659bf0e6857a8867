package sentinel

import (
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

// names collects the names of features and signals that an expression uses.
type names struct {
	env  map[string]any
	seen map[string]bool
	list []string
}

// Visit is called by the compiler for every node of the expression.
func (n *names) Visit(node *ast.Node) {
	id, ok := (*node).(*ast.IdentifierNode)
	if !ok || n.seen[id.Value] {
		return
	}
	if _, known := n.env[id.Value]; known {
		n.seen[id.Value] = true
		n.list = append(n.list, id.Value)
	}
}

// truth is the outcome of a predicate.
type truth uint8

const (
	unknown truth = iota // something it uses has no value yet
	no
	yes
)

// eval returns the predicate's truth in env, from which unknown figures are absent.
// An expression that cannot be computed, such as an integer division by zero, is
// unknown.
func (p *predicate) eval(machine *vm.VM, env map[string]any) truth {
	for _, name := range p.uses {
		if _, ok := env[name]; !ok {
			return unknown
		}
	}
	out, err := machine.Run(p.program, env)
	if err != nil {
		return unknown
	}
	if out == true {
		return yes
	}
	return no
}
