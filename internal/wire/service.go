package wire

import (
	"slices"
	"strings"
)

// Service is one service of AWS as far as Sagebrush serves it. Services are
// generated and never written to.
type Service struct {
	Name    string // as texts say it: "SageMaker"
	Target  string // the part of X-Amz-Target before the point
	Signing string // its name in the scope of a signature
	Invalid Code   // what a violation of the model's constraints is called (CP-16)

	Shapes []Shape
	Served []Operation // sorted by name
	Names  []string    // of all operations that the service has, sorted
}

// Operation is an operation that Sagebrush serves.
type Operation struct {
	Name   string         // the part of X-Amz-Target after the point
	Input  func() Message // makes an empty input, for DecodeInto
	Output func() Message // makes an empty output; nil: the answer has an empty body (CP-3)
}

// NewInput makes an empty input of the operation, for DecodeInto.
func (o Operation) NewInput() Message { return o.Input() }

// NewOutput makes an empty output of the operation. It is nil when the operation
// answers with an empty body (CP-3).
func (o Operation) NewOutput() Message {
	if o.Output == nil {
		return nil
	}
	return o.Output()
}

// Lookup finds a served operation by its name.
func (s *Service) Lookup(name string) (Operation, bool) {
	i, ok := slices.BinarySearchFunc(s.Served, name, func(o Operation, name string) int {
		return strings.Compare(o.Name, name)
	})
	if !ok {
		return Operation{}, false
	}
	return s.Served[i], true
}

// Known reports whether the service has an operation of this name, served or not.
func (s *Service) Known(name string) bool {
	_, ok := slices.BinarySearch(s.Names, name)
	return ok
}

// UnknownOperation is the answer to an operation that is not served. It tells an
// operation that Sagebrush lacks from one that does not exist.
func (s *Service) UnknownOperation(name string) *Error {
	switch {
	case name == "":
		return Errorf(UnknownOperationException, "The request names no operation. Send the header X-Amz-Target: %s.<operation>.", s.Target)
	case s.Known(name):
		return Errorf(UnknownOperationException, "The %s operation %s is not supported by Sagebrush.", s.Name, name)
	}
	return Errorf(UnknownOperationException, "%s has no operation '%s'.", s.Name, printable(name))
}
