/** When certificates end: read from the DER alone, since there may be 100,000 of them, and to read one whole takes 160 µs. */

/** A place in DER: where a value begins and ends. */
interface Value {
  readonly tag: number
  readonly from: number
  readonly to: number
}

const sequence = 0x30
const version = 0xa0
const utcTime = 0x17
const generalizedTime = 0x18

const valueAt = (der: Uint8Array, at: number): Value | undefined => {
  const tag = der[at]
  const first = der[at + 1]
  if (tag === undefined || first === undefined) return undefined
  if (first < 0x80) return { tag, from: at + 2, to: at + 2 + first }
  const bytes = first & 0x7f
  if (bytes === 0 || bytes > 4) return undefined
  let length = 0
  for (let place = 0; place < bytes; place++) length = length * 256 + (der[at + 2 + place] ?? 0)
  return { tag, from: at + 2 + bytes, to: at + 2 + bytes + length }
}

const timeOf = (der: Uint8Array, { tag, from, to }: Value): number | undefined => {
  const text = Buffer.from(der.subarray(from, to)).toString("latin1")
  const found = /^(\d{2,4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
  if (found === null || (tag !== utcTime && tag !== generalizedTime)) return undefined
  const [year = 0, month = 0, ...rest] = found.slice(1).map(Number)
  const [day = 0, hour = 0, minute = 0, second = 0] = rest
  // Two digits are of 1950 to 2049 (RFC 5280, 4.1.2.5.1).
  const whole = tag === generalizedTime ? year : year < 50 ? 2000 + year : 1900 + year
  const time = Date.UTC(whole, month - 1, day, hour, minute, second)
  return Number.isNaN(time) ? undefined : time
}

/** When the certificate of this DER ends: milliseconds since 1970; undefined where that can't be read. */
export const of = (der: Uint8Array): number | undefined => {
  const whole = valueAt(der, 0)
  const signed = whole?.tag === sequence ? valueAt(der, whole.from) : undefined
  if (signed?.tag !== sequence) return undefined
  let field = valueAt(der, signed.from)
  if (field?.tag === version) field = valueAt(der, field.to)
  // Serial number, signature's algorithm, issuer; then how long it is valid.
  for (let place = 0; place < 3 && field !== undefined; place++) field = valueAt(der, field.to)
  const begin = field?.tag === sequence ? valueAt(der, field.from) : undefined
  const end = begin === undefined ? undefined : valueAt(der, begin.to)
  return end === undefined ? undefined : timeOf(der, end)
}
