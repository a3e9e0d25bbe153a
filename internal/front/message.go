package front

import "unsafe"

// These make a *Head a sigv4.Message. The texts are views as the slices are.

// SentMethod is the method.
func (h *Head) SentMethod() string { return view(h.Method) }

// SentPath is the path as the client sent it.
func (h *Head) SentPath() string { return view(h.Path) }

// SentQuery is what follows the question mark.
func (h *Head) SentQuery() string { return view(h.Query) }

// Value gives the i-th value of a field by its name in lower case.
func (h *Head) Value(lower string, i int) (value string, ok bool) {
	for k := range h.Fields {
		if f := &h.Fields[k]; fold(f.Name, lower) {
			if i == 0 {
				return view(f.Value), true
			}
			i--
		}
	}
	return "", false
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
