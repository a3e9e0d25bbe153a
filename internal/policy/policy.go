// Package policy decides by IAM-style policy documents: statements that allow or
// deny actions on resources under conditions. An explicit deny wins; what nothing
// allows is denied. It does no I/O, and a decision allocates nothing.
//
// Documents are read strictly: what Parse does not know it refuses, with the place,
// since a condition that is ignored would allow too much or deny too little. This
// goes for condition keys too: those that the server never sets are refused.
package policy

import "strings"

// Effect is what a statement or a decision says.
type Effect uint8

// The effects. The zero value denies.
const (
	// None is that nothing says anything: it denies.
	None Effect = iota
	Allow
	// Deny is an explicit deny.
	Deny
)

// String names the effect as a document does.
func (e Effect) String() string { return [...]string{"None", "Allow", "Deny"}[e] }

// Policy is a document that has been read. It is never written to.
type Policy struct {
	// Name is under which name it is attached.
	Name string
	// Document is the text that was read.
	Document string

	statements []statement
}

// statement is one statement of a document.
type statement struct {
	sid        string
	effect     Effect
	actions    []pattern
	notActions bool // the actions are those to which it does not apply
	resources  []arnPattern
	notRes     bool
	variables  bool // in the resources
	conditions []condition
}

// Request is what is to be decided.
type Request struct {
	Action   string // such as "sagemaker:CreateTransformJob"
	Resource string // an ARN, or "*" where the action has none
	// Context has the condition keys of the request. A key that is not there is
	// absent; keys differ in more than case.
	Context []Attribute
}

// Attribute is a condition key with its value, or with its values if it can have
// many, as aws:TagKeys has.
type Attribute struct {
	Key   string
	Value string
	Many  []string // not nil: the values are these
}

// attribute finds a key, whose case does not matter.
func (r *Request) attribute(key string) *Attribute {
	for i := range r.Context {
		if a := &r.Context[i]; len(a.Key) == len(key) && strings.EqualFold(a.Key, key) {
			return a
		}
	}
	return nil
}

// count is the number of values.
func (a *Attribute) count() int {
	if a.Many != nil {
		return len(a.Many)
	}
	return 1
}

func (a *Attribute) value(i int) string {
	if a.Many != nil {
		return a.Many[i]
	}
	return a.Value
}

// Set is the policies of one caller.
type Set []*Policy

// Decision is what a Set says to a request, and which statement said it.
type Decision struct {
	Effect Effect
	Policy string // the name of the deciding policy, "" for None
	// Statement is the number of the deciding statement, from 0, and Sid its own name,
	// which may be "".
	Statement int
	Sid       string
}

// Allowed reports whether the request may go on.
func (d Decision) Allowed() bool { return d.Effect == Allow }

// Decide decides a request. The first statement that denies decides; if there is
// none, the first that allows.
func (s Set) Decide(r *Request) Decision {
	var d Decision
	resource := cutARN(r.Resource)
	for _, p := range s {
		for i := range p.statements {
			st := &p.statements[i]
			if st.effect == Allow && d.Effect == Allow || !st.applies(r, &resource) {
				continue
			}
			d = Decision{Effect: st.effect, Policy: p.Name, Statement: i, Sid: st.sid}
			if st.effect == Deny {
				return d
			}
		}
	}
	return d
}

// Fixed is Decide for a request of which only the action and the resource are known.
// It is of use when ok is true: no statement that speaks of the action looks at
// anything else.
func (s Set) Fixed(action, resource string) (d Decision, ok bool) {
	for _, p := range s {
		for i := range p.statements {
			st := &p.statements[i]
			if (len(st.conditions) > 0 || st.variables) && st.action(action) != st.notActions {
				return Decision{}, false
			}
		}
	}
	return s.Decide(&Request{Action: action, Resource: resource}), true
}

// applies reports whether the statement speaks of the request.
func (st *statement) applies(r *Request, resource *arn) bool {
	return st.action(r.Action) != st.notActions && st.resource(resource, r) != st.notRes && st.condition(r)
}

func (st *statement) action(action string) bool {
	for i := range st.actions {
		if st.actions[i].match(action, nil) {
			return true
		}
	}
	return false
}

func (st *statement) resource(a *arn, r *Request) bool {
	for i := range st.resources {
		if st.resources[i].match(a, r) {
			return true
		}
	}
	return false
}

func (st *statement) condition(r *Request) bool {
	for i := range st.conditions {
		if !st.conditions[i].holds(r) {
			return false
		}
	}
	return true
}

// Kind is whose policies a Set is, in the words of a refusal.
type Kind string

// The kinds of policies.
const (
	Identity Kind = "identity-based"
	Session  Kind = "session"
)

// Refusal is the text of an AccessDeniedException for a decision that does not
// allow, in AWS's wording. principal is the caller's ARN.
func (d Decision) Refusal(principal string, r *Request, k Kind) string {
	text := "User: " + principal + " is not authorized to perform: " + r.Action + " on resource: " + r.Resource
	if d.Effect == Deny {
		article := "a "
		if k == Identity {
			article = "an "
		}
		return text + " with an explicit deny in " + article + string(k) + " policy"
	}
	return text + " because no " + string(k) + " policy allows the " + r.Action + " action"
}
