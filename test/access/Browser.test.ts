import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import * as Browser from "../../src/access/Browser.ts"

const plain: Browser.BrowserRequest = {
  host: "127.0.0.1:3030",
  origin: undefined,
  fetchSite: undefined,
  encrypted: false,
  loopback: true
}
const tls: Browser.BrowserRequest = { ...plain, host: "relay.example.com", encrypted: true, loopback: false }
const hosts = ["Relay.example.com.", "2001:db8::1"]

/** The header that was the reason to refuse; none: let through. */
const refusedOver = (request: Browser.BrowserRequest) =>
  Either.match(Browser.check(request, hosts), {
    onLeft: ({ message }) => message.split(":")[0],
    onRight: () => undefined
  })

type Over = Partial<Browser.BrowserRequest>

describe("a request with an effect", () => {
  it.each<[what: string, base: Browser.BrowserRequest, over: Over]>([
    ["from curl", plain, {}],
    ["from curl, over TLS", tls, {}],
    ["typed into the address bar", plain, { fetchSite: "none" }],
    ["of the own page", plain, { fetchSite: "same-origin", origin: "http://127.0.0.1:3030" }],
    ["of the own page on localhost", plain, { host: "localhost:3030", origin: "http://localhost:3030" }],
    ["of the own page in IPv6", plain, { host: "[::1]:3030", origin: "http://[::1]:3030" }],
    ["of the own page over TLS", tls, { origin: "https://relay.example.com" }],
    [
      "of the own page, its port named",
      tls,
      { host: "relay.example.com:443", origin: "https://relay.example.com" }
    ],
    [
      "of the own page, in other case",
      tls,
      { host: "Relay.Example.com", origin: "https://relay.example.com" }
    ],
    ["of the own page on another port", tls, { host: "r:8443", origin: "https://r:8443" }]
  ])("is let through: %s", (_, base, over) => {
    expect(refusedOver({ ...base, ...over })).toBeUndefined()
  })

  it.each<[header: string, what: string, base: Browser.BrowserRequest, over: Over]>([
    ["Sec-Fetch-Site", "another site", plain, { fetchSite: "cross-site" }],
    ["Sec-Fetch-Site", "a sibling domain", tls, { fetchSite: "same-site" }],
    ["Sec-Fetch-Site", "nothing known", plain, { fetchSite: "" }],
    ["Sec-Fetch-Site", "said twice", plain, { fetchSite: "same-origin, cross-site" }],
    [
      "Sec-Fetch-Site",
      "another site, own origin",
      plain,
      { fetchSite: "cross-site", origin: "http://127.0.0.1:3030" }
    ],
    ["Origin", "another site", plain, { origin: "http://evil.example" }],
    [
      "Origin",
      "another site that claims to be the same",
      plain,
      { origin: "http://evil.example", fetchSite: "same-origin" }
    ],
    ["Origin", "an opaque origin", plain, { origin: "null" }],
    ["Origin", "an empty origin", plain, { origin: "" }],
    ["Origin", "another port", plain, { origin: "http://127.0.0.1:8080" }],
    ["Origin", "no port", plain, { origin: "http://127.0.0.1" }],
    ["Origin", "another scheme", plain, { origin: "https://127.0.0.1:3030" }],
    ["Origin", "another scheme, over TLS", tls, { origin: "http://relay.example.com" }],
    ["Origin", "another name for the same machine", plain, { origin: "http://localhost:3030" }],
    ["Origin", "a name that begins the same", tls, { origin: "https://relay.example.com.evil.example" }],
    ["Origin", "a proxy's name", plain, { origin: "https://relay.example.com" }],
    ["Origin", "an extension", plain, { origin: "chrome-extension://abcdef" }],
    ["Origin", "a file", plain, { origin: "file://" }],
    ["Origin", "two origins", plain, { origin: "http://127.0.0.1:3030, http://evil.example" }],
    ["Origin", "an origin without Host", plain, { host: undefined, origin: "http://127.0.0.1:3030" }],
    ["Origin", "a Host with a user", plain, { host: "x@127.0.0.1", origin: "http://127.0.0.1" }],
    [
      "Origin",
      "an impossible port in Host alone",
      plain,
      { host: "127.0.0.1:99999", origin: "http://127.0.0.1" }
    ],
    [
      "Origin",
      "an impossible port in Host",
      plain,
      { host: "127.0.0.1:99999", origin: "http://127.0.0.1:99999" }
    ]
  ])("is refused over %s: %s", (header, _, base, over) => {
    expect(refusedOver({ ...base, ...over })).toBe(header)
  })

  it("is refused where a browser does not say whose page it is for", () => {
    const userAgent = "Mozilla/5.0 (X11; Linux x86_64)"
    expect(refusedOver({ ...plain, userAgent })).toBe("User-Agent")
    expect(refusedOver({ ...plain, userAgent, fetchSite: "none" })).toBeUndefined()
    expect(refusedOver({ ...plain, userAgent, origin: "http://127.0.0.1:3030" })).toBeUndefined()
    expect(refusedOver({ ...plain, userAgent: "curl/7.88.1" })).toBeUndefined()
  })
})

describe("on a plain loopback listener, Host", () => {
  it.each([
    undefined,
    "127.0.0.1",
    "127.0.0.1:3030",
    "192.0.2.1:3030",
    "[::1]",
    "[::1]:3030",
    "localhost",
    "localhost:3030",
    "LocalHost.:3030",
    "localhost:",
    "relay.example.com:3030",
    "RELAY.EXAMPLE.COM.",
    "[2001:db8::1]:3030"
  ])("may be %s", (host) => {
    expect(refusedOver({ ...plain, host })).toBeUndefined()
  })

  it.each([
    "",
    "evil.example",
    "evil.example:3030",
    "localhost.evil.example",
    "evil.localhost",
    "127.0.0.1.evil.example",
    "relay.example.com.evil.example",
    "127.1",
    "[127.0.0.1",
    "[evil.example]",
    "::1",
    "127.0.0.1:3030:3030",
    "127.0.0.1:x",
    "evil.example:3030 127.0.0.1",
    "localhost, evil.example",
    "x@localhost",
    "localhost/",
    "localhost\\",
    "loc\u0000alhost"
  ])("may not be %j", (host) => {
    expect(refusedOver({ ...plain, host })).toBe("Host")
  })

  it("may be anything over TLS, or elsewhere than on loopback", () => {
    expect(refusedOver({ ...plain, host: "any.example", encrypted: true })).toBeUndefined()
    expect(refusedOver({ ...plain, host: "any.example", loopback: false })).toBeUndefined()
  })

  it("is refused with the key that lets it in", () => {
    const result = Browser.check({ ...plain, host: "relay.lan" }, [])
    expect(Either.getLeft(result)).toMatchObject({
      value: { _tag: "AccessDenied", message: /access\.hosts/ }
    })
  })
})

const text = FastCheck.option(FastCheck.string({ unit: "binary" }), { nil: undefined })

describe("whatever a browser sends", () => {
  it.prop(
    "there is an answer",
    [text, text, text, FastCheck.boolean()],
    ([host, origin, fetchSite, loopback]) => {
      expect(
        Either.isEither(Browser.check({ host, origin, fetchSite, loopback, encrypted: !loopback }, hosts))
      ).toBe(true)
    }
  )

  it.prop(
    "no page of a name that was made to point here is let through",
    [FastCheck.domain(), FastCheck.nat(65_535), FastCheck.constantFrom(undefined, "same-origin", "none")],
    ([domain, port, fetchSite]) => {
      const host = `${domain}:${port}`
      expect(refusedOver({ ...plain, host, fetchSite })).toBe("Host")
      expect(refusedOver({ ...plain, host, fetchSite, origin: `http://${host}` })).toBe("Host")
    }
  )
})
