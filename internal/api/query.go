package api

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"

	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

// serveQuery serves the two operations of the query protocol that clients of
// SageMaker call: STS GetCallerIdentity, for the account number, and IAM GetRole,
// to turn a role's name into an ARN. There are no users and roles here: the caller
// is the account's root, and every role exists.
func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request, scope sigv4.Scope, id string) {
	body, err := readBody(w, r)
	if err == nil {
		err = s.authenticate(r, body)
	}
	if err != nil {
		queryError(w, http.StatusForbidden, "AccessDenied", err.Error(), id)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost {
		form = r.URL.Query()
	}
	switch action := form.Get("Action"); action {
	case "GetCallerIdentity":
		s.callerIdentity(w, id)
	case "GetRole":
		s.getRole(w, form.Get("RoleName"), id)
	default:
		queryError(w, http.StatusBadRequest, "InvalidAction", "Sagebrush does not serve the operation "+clip(action)+" of "+clip(scope.Service)+".", id)
	}
}

// metadata ends every answer of the query protocol.
type metadata struct {
	RequestID string `xml:"RequestId"`
}

// callerIdentity answers STS GetCallerIdentity.
func (s *Server) callerIdentity(w http.ResponseWriter, id string) {
	writeXML(w, http.StatusOK, struct {
		XMLName  xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
		Result   identity `xml:"GetCallerIdentityResult"`
		Metadata metadata `xml:"ResponseMetadata"`
	}{
		Result:   identity{Arn: "arn:aws:iam::" + s.Account + ":root", UserID: s.Account, Account: s.Account},
		Metadata: metadata{id},
	})
}

// identity is STS's shape of a caller.
type identity struct {
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

// roleNames are the names that a role may have in IAM.
var roleNames = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// role is IAM's shape of a role.
type role struct {
	Path                     string
	RoleName                 string
	RoleID                   string `xml:"RoleId"`
	Arn                      string
	CreateDate               string
	AssumeRolePolicyDocument string
	MaxSessionDuration       int
}

// getRole answers IAM GetRole for any name.
func (s *Server) getRole(w http.ResponseWriter, name, id string) {
	if !roleNames.MatchString(name) {
		queryError(w, http.StatusBadRequest, "ValidationError", "RoleName must have 1 to 64 characters of letters, digits and +=,.@-_.", id)
		return
	}
	writeXML(w, http.StatusOK, struct {
		XMLName  xml.Name `xml:"https://iam.amazonaws.com/doc/2010-05-08/ GetRoleResponse"`
		Role     role     `xml:"GetRoleResult>Role"`
		Metadata metadata `xml:"ResponseMetadata"`
	}{
		Role: role{
			Path: "/", RoleName: name, RoleID: "AROASAGEBRUSH0000000",
			Arn:        "arn:aws:iam::" + s.Account + ":role/" + name,
			CreateDate: "2018-08-30T00:00:00Z",
			AssumeRolePolicyDocument: url.QueryEscape(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
				`"Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
			MaxSessionDuration: 3600,
		},
		Metadata: metadata{id},
	})
}

// queryError answers an error of the query protocol.
func queryError(w http.ResponseWriter, status int, code, message, id string) {
	writeXML(w, status, struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Error     struct{ Type, Code, Message string }
		RequestID string `xml:"RequestId"`
	}{Error: struct{ Type, Code, Message string }{"Sender", code, message}, RequestID: id})
}

func writeXML(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	w.Write([]byte(xml.Header))
	xml.NewEncoder(w).Encode(v)
}
