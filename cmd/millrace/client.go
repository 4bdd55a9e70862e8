package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/web"
)

// apiClient speaks to a running gateway.
type apiClient struct {
	server    string // http://host:port, or host:port
	tokenFile string
}

// flags adds what finds the gateway.
func (c *apiClient) flags(cmd *cobra.Command, token bool) {
	cmd.Flags().StringVar(&c.server, "server", "http://127.0.0.1:8080", "address of the running gateway")
	if token {
		cmd.Flags().StringVar(&c.tokenFile, "token-file", filepath.Join("data", tokenFile), "file with the bearer token, in the gateway's data directory")
	}
}

const apiTimeout = 10 * time.Second

// get decodes the answer to a GET of path into v.
func (c *apiClient) get(ctx context.Context, path string, v any) error {
	return c.do(ctx, http.MethodGet, path, nil, "", v)
}

// post sends body with the token.
func (c *apiClient) post(ctx context.Context, path string, body, v any) error {
	token, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return usageError(fmt.Errorf("%w; name the gateway's token with --token-file", err))
	}
	return c.do(ctx, http.MethodPost, path, body, strings.TrimSpace(string(token)), v)
}

// bearer reads the token.
func (c *apiClient) bearer() (string, error) {
	token, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return "", usageError(fmt.Errorf("%w; name a token with --token-file", err))
	}
	return strings.TrimSpace(string(token)), nil
}

// getWithToken is get of what not everybody sees.
func (c *apiClient) getWithToken(ctx context.Context, path string, v any) error {
	token, err := c.bearer()
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodGet, path, nil, token, v)
}

// order posts what may take as long as it takes, and takes every answer that is a write's end as one.
func (c *apiClient) order(ctx context.Context, path string, body any, key string, v *web.WriteView) error {
	token, err := c.bearer()
	if err != nil {
		return err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, http.MethodPost, path, bytes.NewReader(b), token)
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	status, b, err := c.send(req)
	if err != nil {
		return err
	}
	if json.Unmarshal(b, v) != nil || v.End == "" {
		return refusal(http.MethodPost, path, status, b)
	}
	return nil
}

func (c *apiClient) do(ctx context.Context, method, path string, body any, token string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	req, err := c.request(ctx, method, path, payload, token)
	if err != nil {
		return err
	}
	status, b, err := c.send(req)
	if err != nil {
		return err
	}
	if status[0] >= '4' {
		return refusal(method, path, status, b)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

// request makes a request to the gateway.
func (c *apiClient) request(ctx context.Context, method, path string, payload io.Reader, token string) (*http.Request, error) {
	server := strings.TrimRight(c.server, "/")
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	req, err := http.NewRequestWithContext(ctx, method, server+path, payload)
	if err != nil {
		return nil, usageError(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// send returns the status, as "404 Not Found", and the body of the answer.
func (c *apiClient) send(req *http.Request) (status string, body []byte, err error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", nil, fmt.Errorf("%w; is a gateway running there? name it with --server", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	return resp.Status, body, err
}

// refusal says what the gateway had against a request: its own words, when it gave any.
func refusal(method, path, status string, body []byte) error {
	var said struct{ Error, Todo string }
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		return fmt.Errorf("%s %s: %s: %s", method, path, status, bytes.TrimSpace(body))
	}
	if said.Todo == "" {
		return errors.New(said.Error)
	}
	return fmt.Errorf("%s; %s", said.Error, said.Todo)
}
