package template

import (
	"fmt"
	"slices"
	"strings"
	"text/template/parse"
)

// check refuses what a template may not have. Branches that are not taken count.
func (v Values) check(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		return each(v, n.Nodes)
	case *parse.ActionNode:
		return v.checkPipe(n.Pipe)
	case *parse.IfNode:
		parts := []parse.Node{n.Pipe, n.List}
		if n.ElseList != nil {
			parts = append(parts, n.ElseList)
		}
		return each(v, parts)
	case *parse.PipeNode:
		return v.checkPipe(n)
	case *parse.CommandNode:
		return each(v, n.Args)
	case *parse.IdentifierNode:
		if !slices.Contains(strings.Fields(functions), n.Ident) {
			return fmt.Errorf("there is no function %s: use one of %s", n.Ident, functions)
		}
	case *parse.FieldNode:
		return v.checkField(n)
	case *parse.TextNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
	default:
		return fmt.Errorf("%s cannot be used: there are fields, texts, functions, if and else", n)
	}
	return nil
}

func (v Values) checkPipe(p *parse.PipeNode) error {
	if len(p.Decl) > 0 {
		return fmt.Errorf("%s cannot be used: there are no variables", p.Decl[0])
	}
	return each(v, p.Cmds)
}

// each checks the parts of a node up to the first that may not be.
func each[N parse.Node](v Values, nodes []N) error {
	for _, n := range nodes {
		if err := v.check(n); err != nil {
			return err
		}
	}
	return nil
}

func (v Values) checkField(n *parse.FieldNode) error {
	if len(n.Ident) == 3 && n.Ident[0] == "Service" && n.Ident[1] == "Labels" {
		if _, ok := v.Service.Labels[n.Ident[2]]; !ok {
			return fmt.Errorf("the service has no label %s", n.Ident[2])
		}
		return nil
	}
	if !slices.Contains(strings.Fields(fields), n.String()) {
		return fmt.Errorf("there is no %s: use one of %s", n, fields)
	}
	return nil
}
