package keyring

import (
	"regexp"
	"strings"
)

// Ref is an ID that has been understood: a key id or an alias of a region.
type Ref struct {
	Region string
	KeyID  string // or "" for
	Alias  string // which begins with "alias/"
}

// keyIDs are the ids that keys have: a UUID, or that of a key in several regions.
var keyIDs = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$`)

// AliasPrefix begins every alias.
const AliasPrefix = "alias/"

// Parse understands an ID in an account. A name that can be no key's is refused in
// KMS's wording.
func (id ID) Parse(account string) (Ref, error) {
	ref := Ref{Region: id.Region}
	name := id.Name
	if strings.HasPrefix(name, "arn:") {
		parts := strings.SplitN(name, ":", 6)
		if len(parts) != 6 || parts[2] != "kms" {
			return ref, Errorf(NotFoundException, "Invalid arn '%s'", name)
		}
		if parts[3] != id.Region {
			return ref, Errorf(NotFoundException, "Invalid arn %s", parts[3])
		}
		if parts[4] != account {
			return ref, Errorf(AccessDeniedException, "The key %s belongs to another account than %s: the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access", name, account)
		}
		name = parts[5]
		if rest, ok := strings.CutPrefix(name, "key/"); ok {
			name = rest
		} else if !strings.HasPrefix(name, AliasPrefix) {
			return ref, Errorf(NotFoundException, "Invalid arn '%s'", id.Name)
		}
	}
	switch {
	case strings.HasPrefix(name, AliasPrefix):
		ref.Alias = name
	case keyIDs.MatchString(name):
		ref.KeyID = name
	default:
		return ref, Errorf(NotFoundException, "Invalid keyId '%s'", id.Name)
	}
	return ref, nil
}

// ARN gives the ARN of the key or the alias.
func (r Ref) ARN(account string) string {
	name := r.Alias
	if name == "" {
		name = "key/" + r.KeyID
	}
	return "arn:aws:kms:" + r.Region + ":" + account + ":" + name
}
