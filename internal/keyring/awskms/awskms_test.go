package awskms_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/awskms"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/kms"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

const account = "111122223333"

// The only access key of the server.
const (
	accessKey = "AKIAEXAMPLE000000000"
	secretKey = "a-secret-of-the-tests"
)

func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func keyringAt(t *testing.T, url, secret string) *awskms.Keyring {
	t.Helper()
	k, err := awskms.New(t.Context(), awskms.Config{
		Endpoint: url, Credentials: credentials.NewStaticCredentialsProvider(accessKey, secret, ""), Timeout: 20 * time.Second,
	})
	no(t, err)
	return k
}

// serve serves our own KMS API over an embedded keystore.
func serve(t *testing.T) (url string, keys *local.Store, days *atomic.Int64) {
	t.Helper()
	db, err := state.Open(t.Context(), "", state.Options{})
	no(t, err)
	t.Cleanup(func() { db.Close() })
	ring, err := masterkey.Open(masterkey.Source{Value: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="})
	no(t, err)
	days = new(atomic.Int64)
	now := func() time.Time { return time.Now().AddDate(0, 0, int(days.Load())) }
	keys, err = local.Open(t.Context(), local.Options{Account: account, State: db, Master: ring, Log: slog.New(slog.DiscardHandler), Now: now})
	no(t, err)
	users, err := identity.Open(t.Context(), identity.Options{Account: account, State: db, Master: ring, Conditions: identity.ConditionKeys(), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	no(t, err)
	no(t, users.Import(t.Context(), identity.Root, []identity.Document{identity.AdministratorAccess()}, accessKey, keyring.Secret(secretKey)))
	h := httptest.NewServer(api.New(api.Options{
		KMS: &kms.Service{Keys: keys}, Account: account, Region: "us-east-1", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Identities: users,
	}))
	t.Cleanup(h.Close)
	return h.URL, keys, days
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	keyringtest.Run(t, func(t *testing.T) keyringtest.Harness {
		url, keys, days := serve(t)
		in := func(region, key string) keyring.ID { return keyring.ID{Region: region, Name: key} }
		return keyringtest.Harness{
			Keyring: keyringAt(t, url, secretKey), Account: account,
			NewKey: func(t *testing.T, region string) string {
				k, err := keys.Create(t.Context(), region, "", nil)
				no(t, err)
				return k.ID
			},
			Alias: func(t *testing.T, region, alias, key string) {
				no(t, keys.CreateAlias(t.Context(), region, alias, in(region, key)))
			},
			SetState: func(t *testing.T, region, key string, to keyring.State) {
				k, err := keys.Get(t.Context(), in(region, key))
				no(t, err)
				if k.State == keyring.PendingDeletion {
					_, err = keys.CancelDeletion(t.Context(), in(region, key))
					no(t, err)
				}
				if to == keyring.PendingDeletion {
					_, err = keys.ScheduleDeletion(t.Context(), in(region, key), 7)
				} else {
					err = keys.SetEnabled(t.Context(), in(region, key), to == keyring.Enabled)
				}
				no(t, err)
			},
			Rotate: func(t *testing.T, region, key string) {
				_, err := keys.SetRotation(t.Context(), in(region, key), 90)
				no(t, err)
				days.Add(90)
			},
		}
	})
}

// What is no answer about a key becomes a refusal that says what to look at.
func TestFailures(t *testing.T) {
	t.Parallel()
	url, _, _ := serve(t)
	id := keyring.ID{Region: "us-east-1", Name: "alias/a"}
	_, err := keyringAt(t, url, "wrong").Describe(t.Context(), id)
	if !fault.Is(err, fault.Denied) || !strings.Contains(fault.TextOf(err), "InvalidSignatureException") {
		t.Errorf("a wrong secret: %v", err)
	}
	_, err = keyringAt(t, "http://127.0.0.1:1", secretKey).Describe(t.Context(), id)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.TextOf(err), "did not answer DescribeKey for the key alias/a") {
		t.Errorf("nobody there: %v", err)
	}
	for _, tt := range []struct {
		status int
		code   string
		kind   fault.Kind
	}{
		{500, "KMSInternalException", fault.Unavailable},
		{400, "ThrottlingException", fault.Throttled},
		{400, "KeyUnavailableException", fault.Unavailable},
		{403, "AccessDeniedException", fault.Denied},
		{400, "SomethingNew", fault.Denied},
	} {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(tt.status)
			json.NewEncoder(w).Encode(map[string]string{"__type": tt.code, "message": "because"})
		}))
		_, err := keyringAt(t, h.URL, secretKey).Describe(t.Context(), id)
		h.Close()
		if !fault.Is(err, tt.kind) || !strings.Contains(fault.TextOf(err), "because") {
			t.Errorf("%s: %v is %v, want %v", tt.code, err, fault.KindOf(err), tt.kind)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keyringAt(t, url, secretKey).Describe(ctx, id); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A key of another kind is refused before data depends on it.
func TestOtherKindOfKey(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Write([]byte(`{"KeyMetadata":{"KeyId":"k","Arn":"arn","KeySpec":"RSA_2048","KeyUsage":"ENCRYPT_DECRYPT","KeyState":"Enabled"}}`))
	}))
	defer h.Close()
	_, err := keyringAt(t, h.URL, secretKey).Describe(t.Context(), keyring.ID{Region: "us-east-1", Name: "k"})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), "RSA_2048") {
		t.Errorf("%v", err)
	}
}
