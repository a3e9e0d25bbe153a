package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// model is the part of an api-2.json file that the generator needs. The
// documentation is in other files and is never read.
type model struct {
	Metadata struct {
		TargetPrefix   string `json:"targetPrefix"`
		SigningName    string `json:"signingName"` // absent where it is the endpoint's prefix
		EndpointPrefix string `json:"endpointPrefix"`
		Protocol       string `json:"protocol"`
		JSONVersion    string `json:"jsonVersion"`
	} `json:"metadata"`
	Operations map[string]operation `json:"operations"`
	Shapes     map[string]*shape    `json:"shapes"`
}

type operation struct {
	Input  *ref  `json:"input"`
	Output *ref  `json:"output"`
	Errors []ref `json:"errors"`
}

type shape struct {
	Type      string   `json:"type"`
	Required  []string `json:"required"`
	Members   members  `json:"members"`
	Min       *number  `json:"min"`
	Max       *number  `json:"max"`
	Pattern   string   `json:"pattern"`
	Enum      []string `json:"enum"`
	Member    *ref     `json:"member"`
	Key       *ref     `json:"key"`
	Value     *ref     `json:"value"`
	Sensitive bool     `json:"sensitive"`
}

type ref struct {
	Shape string `json:"shape"`
}

type number = json.Number

func bound(s string) *number {
	n := number(s)
	return &n
}

type member struct {
	Name string
	ref
}

// members keeps the order of the file, which is the order of the API.
type members []member

// UnmarshalJSON reads an object into a list.
func (m *members) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var r ref
		if err := dec.Decode(&r); err != nil {
			return err
		}
		*m = append(*m, member{name.(string), r})
	}
	return nil
}

// readModel reads a model file.
func readModel(path string) (*model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m model
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Metadata.Protocol != "json" || m.Metadata.JSONVersion != "1.1" {
		return nil, fmt.Errorf("%s: the protocol is %s %s; package wire speaks json 1.1", path, m.Metadata.Protocol, m.Metadata.JSONVersion)
	}
	return &m, nil
}

// signing is the service's name in the scope of a signature.
func (m *model) signing() string {
	if m.Metadata.SigningName != "" {
		return m.Metadata.SigningName
	}
	return m.Metadata.EndpointPrefix
}

// applyOverlay adds the overlay's facts. A fact that the model has already is
// an error: the overlay must shrink when the model grows.
func (m *model) applyOverlay(o overlay) error {
	for name, s := range o.shapes {
		if m.Shapes[name] != nil {
			return fmt.Errorf("overlay: shape %s is in the model already", name)
		}
		m.Shapes[name] = &s
	}
	for name, more := range o.members {
		s := m.Shapes[name]
		if s == nil {
			return fmt.Errorf("overlay: the model has no shape %s", name)
		}
		for _, add := range more {
			for _, have := range s.Members {
				if have.Name == add.Name {
					return fmt.Errorf("overlay: member %s.%s is in the model already", name, add.Name)
				}
			}
			at := len(s.Members)
			if before, ok := o.after[name+"."+add.Name]; ok {
				if at = 1 + slices.IndexFunc(s.Members, func(m member) bool { return m.Name == before }); at == 0 {
					return fmt.Errorf("overlay: %s has no member %s", name, before)
				}
			}
			s.Members = slices.Insert(s.Members, at, add)
		}
	}
	for name, low := range o.minima {
		s := m.Shapes[name]
		if s == nil || s.Min != nil && *s.Min == *bound(low) {
			return fmt.Errorf("overlay: the minimum of %s has no shape or is in the model already", name)
		}
		s.Min = bound(low)
	}
	for name, high := range o.maxima {
		s := m.Shapes[name]
		if s == nil || s.Max != nil {
			return fmt.Errorf("overlay: the maximum of %s has no shape or is in the model already", name)
		}
		s.Max = bound(high)
	}
	for name, p := range o.patterns {
		if m.Shapes[name] == nil || m.Shapes[name].Pattern == p {
			return fmt.Errorf("overlay: pattern of %s has no shape or is in the model already", name)
		}
		m.Shapes[name].Pattern = p
	}
	for _, op := range o.ops {
		if _, ok := m.Operations[op]; ok {
			return fmt.Errorf("overlay: operation %s is in the model already", op)
		}
		m.Operations[op] = operation{}
	}
	if err := m.addEnums(o.enums); err != nil {
		return err
	}
	return m.addEnums(o.extensions)
}

func (m *model) addEnums(enums map[string][]insertion) error {
	for name, insertions := range enums {
		s := m.Shapes[name]
		if s == nil {
			return fmt.Errorf("overlay: the model has no shape %s", name)
		}
		for _, add := range insertions {
			for _, v := range add.values {
				if slices.Contains(s.Enum, v) {
					return fmt.Errorf("overlay: value %s of %s is in the model already", v, name)
				}
			}
			at := len(s.Enum)
			if add.after != "" {
				at = slices.Index(s.Enum, add.after) + 1
			}
			if at == 0 {
				return fmt.Errorf("overlay: %s has no value %s", name, add.after)
			}
			s.Enum = slices.Insert(s.Enum, at, add.values...)
		}
	}
	return nil
}

// normalize brings the older file to the form of the newer models: patterns
// without the anchors at their ends (they are matched as a whole anyway) and an
// explicit least length of 0 for everything that has a length limit.
func (m *model) normalize() {
	for _, s := range m.Shapes {
		s.Pattern = strings.TrimPrefix(s.Pattern, "^")
		if strings.HasSuffix(s.Pattern, "$") && !strings.HasSuffix(s.Pattern, `\$`) {
			s.Pattern = strings.TrimSuffix(s.Pattern, "$")
		}
		sized := s.Type == "string" || s.Type == "list" || s.Type == "map"
		if sized && s.Min == nil && (s.Max != nil || s.Pattern != "") {
			s.Min = bound("0")
		}
	}
}

// reach lists the shapes that the operations reach, inputs and outputs first
// within each operation, every shape once, parents before children.
func (m *model) reach(ops []string) ([]string, error) {
	var order []string
	seen := map[string]bool{}
	var walk func(name string) error
	walk = func(name string) error {
		if seen[name] {
			return nil
		}
		s := m.Shapes[name]
		if s == nil {
			return fmt.Errorf("the model has no shape %s", name)
		}
		seen[name] = true
		order = append(order, name)
		refs := make([]*ref, 0, len(s.Members)+3)
		for i := range s.Members {
			refs = append(refs, &s.Members[i].ref)
		}
		for _, r := range append(refs, s.Key, s.Value, s.Member) {
			if r == nil {
				continue
			}
			if err := walk(r.Shape); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range ops {
		op, ok := m.Operations[name]
		if !ok || op.Input == nil {
			return nil, fmt.Errorf("the model has no operation %s with an input", name)
		}
		for _, r := range []*ref{op.Input, op.Output} {
			if r == nil {
				continue
			}
			if err := walk(r.Shape); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return order, nil
}
