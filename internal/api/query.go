package api

import (
	"cmp"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// serveQuery serves what clients of SageMaker call of the query protocol: STS
// GetCallerIdentity, for the account number, AssumeRole and GetSessionToken, and IAM
// GetRole, to turn a role's name into an ARN.
func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request, scope sigv4.Scope) {
	c := callOf(r.Context())
	body, err := s.readBody(w, r)
	if err == nil {
		err = s.authenticate(r, body)
	}
	if err != nil {
		queryFail(w, c, err)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost {
		form = r.URL.Query()
	}
	action := form.Get("Action")
	c.names(cmp.Or(clip(scope.Service), "sts"), clip(action), false)
	var answer any
	switch action {
	case "GetCallerIdentity": // nobody needs a permission for it
		answer = s.callerIdentity(c)
	case "AssumeRole":
		answer, err = s.assumeRole(c, form)
	case "GetSessionToken":
		answer, err = s.sessionToken(c, form)
	case "GetRole":
		answer, err = s.getRole(c, form.Get("RoleName"))
	default:
		err = &queryError{http.StatusBadRequest, "InvalidAction", "Sagebrush does not serve the operation " + clip(action) + " of " + clip(scope.Service) + "."}
	}
	if err != nil {
		queryFail(w, c, err)
		return
	}
	writeXML(w, http.StatusOK, answer)
}

// metadata ends every answer of the query protocol.
type metadata struct {
	RequestID string `xml:"RequestId"`
}

// callerIdentity answers STS GetCallerIdentity. Who is not known is the account's
// root.
func (s *Server) callerIdentity(c *call) any {
	who := callerShape{Arn: "arn:aws:iam::" + s.Account + ":root", UserID: s.Account, Account: s.Account}
	if c.who != nil {
		who.Arn, who.UserID = c.who.ARN, c.who.UserID
	}
	return struct {
		XMLName  xml.Name    `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
		Result   callerShape `xml:"GetCallerIdentityResult"`
		Metadata metadata    `xml:"ResponseMetadata"`
	}{Result: who, Metadata: metadata{c.entry.RequestID}}
}

// callerShape is STS's shape of a caller.
type callerShape struct {
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

// getRole answers IAM GetRole. A role that the store does not have is made up, for
// clients that only want its ARN.
func (s *Server) getRole(c *call, name string) (any, error) {
	if !roleNames.MatchString(name) {
		return nil, &queryError{http.StatusBadRequest, "ValidationError", "RoleName must have 1 to 64 characters of letters, digits and +=,.@-_."}
	}
	arn := "arn:aws:iam::" + s.Account + ":role/" + name
	if err := c.allow("iam:GetRole", arn); err != nil {
		return nil, err
	}
	created := time.Date(2018, 8, 30, 0, 0, 0, 0, time.UTC)
	if s.Identities != nil {
		if known, err := s.Identities.Find(c.r.Context(), identity.Role, name); err == nil {
			created = known.Created
		}
	}
	return struct {
		XMLName  xml.Name `xml:"https://iam.amazonaws.com/doc/2010-05-08/ GetRoleResponse"`
		Role     role     `xml:"GetRoleResult>Role"`
		Metadata metadata `xml:"ResponseMetadata"`
	}{
		Role: role{
			Path: "/", RoleName: name, RoleID: "AROASAGEBRUSH0000000",
			Arn:        arn,
			CreateDate: created.UTC().Format(time.RFC3339),
			AssumeRolePolicyDocument: url.QueryEscape(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
				`"Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
			MaxSessionDuration: 3600,
		},
		Metadata: metadata{c.entry.RequestID},
	}, nil
}

// queryError is an error of the query protocol.
type queryError struct {
	status        int
	code, message string
}

func (e *queryError) Error() string { return e.message }

// queryCodes are the codes of the query protocol where they are not those of the
// JSON services.
var queryCodes = map[wire.Code]string{
	wire.AccessDeniedException:               "AccessDenied",
	wire.UnrecognizedClientException:         "InvalidClientTokenId",
	wire.ExpiredTokenException:               "ExpiredToken",
	wire.InvalidSignatureException:           "SignatureDoesNotMatch",
	wire.IncompleteSignatureException:        "IncompleteSignature",
	wire.MissingAuthenticationTokenException: "MissingAuthenticationToken",
	wire.ValidationException:                 "ValidationError",
	wire.ThrottlingException:                 "Throttling",
}

// queryFail answers an error of the query protocol.
func queryFail(w http.ResponseWriter, c *call, err error) {
	var own *queryError
	if !errors.As(err, &own) {
		e := wire.FromFault(refused(err))
		own = &queryError{e.Status, cmp.Or(queryCodes[e.Code], string(e.Code)), e.Message}
		switch e.Code {
		case wire.AccessDeniedException, wire.UnrecognizedClientException, wire.ExpiredTokenException:
			own.status = http.StatusForbidden
		}
	}
	c.failed(own.status, own.code)
	writeXML(w, own.status, struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Error     struct{ Type, Code, Message string }
		RequestID string `xml:"RequestId"`
	}{Error: struct{ Type, Code, Message string }{"Sender", own.code, own.message}, RequestID: c.entry.RequestID})
}

func writeXML(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	w.Write([]byte(xml.Header))
	xml.NewEncoder(w).Encode(v)
}
