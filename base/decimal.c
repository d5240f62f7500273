/* R. Giulietti, "The Schubfach way to render doubles" (2021). The interval of the decimals that read back as the value
 * is scaled by a power of ten until its width lies between 1 and 10; the answer is then among four integers. All in 64
 * and 128 bit integers, about a tenth of the time of printf and strtod in turns, and exact. */
#include "base/decimal.h"

#include <endian.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/decimal_table.h"

__extension__ typedef unsigned __int128 wide;

struct decimal {
    uint64_t digits;
    int exponent; /* value = digits * 10^exponent */
};

/* The high 64 of the 192 bits of power * factor, made odd when bits were lost, which keeps comparisons with multiples
 * of two right. */
static uint64_t multiply(struct decimal_power power, uint64_t factor)
{
    wide low = (wide)power.low * factor;
    wide high = (wide)power.high * factor + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The best in [lower, upper], quarters of a unit of 10^exponent; `middle` is the value itself. */
static struct decimal choose(uint64_t lower, uint64_t middle, uint64_t upper, int exponent)
{
    uint64_t below = middle / 4, tens = below / 10;
    if (tens != 0) {
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up)
            return (struct decimal){tens + up, exponent + 1};
    }
    bool down = lower <= 4 * below, up = 4 * below + 4 <= upper;
    if (down == up)
        up = middle > 4 * below + 2 || (middle == 4 * below + 2 && (below & 1) != 0);
    return (struct decimal){below + up, exponent};
}

/* `fraction` and `biased` are the fields of an IEEE 754 double that is neither zero, infinite nor NaN. */
static struct decimal shortest(uint64_t fraction, int biased)
{
    uint64_t significand = biased != 0 ? fraction | (uint64_t)1 << 52 : fraction;
    int binary = (biased != 0 ? biased : 1) - 1075;
    bool closer = fraction == 0 && biased > 1; /* the neighbour below is only half as far as the one above */
    /* floor(log10(2^binary)), for `closer` of 3/4 of it; then floor(log2(10^-exponent)): both exact in this range.
     * gcc and clang shift the sign in. */
    /* cppcheck-suppress shiftNegativeLHS */
    int exponent = (binary * 1262611 - (closer ? 524031 : 0)) >> 22;
    int shift = binary + ((-exponent * 1741647) >> 19) + 1;
    struct decimal_power power = decimal_powers[-exponent - DECIMAL_TABLE_FIRST];
    uint64_t lower = multiply(power, (4 * significand - 2 + closer) << shift);
    uint64_t middle = multiply(power, (4 * significand) << shift);
    uint64_t upper = multiply(power, (4 * significand + 2) << shift);
    /* Without the bounds, which PostgreSQL leaves out too: only a reader that rounds ties to even would take them. */
    struct decimal best = choose(lower + 1, middle, upper - 1, exponent);
    for (; best.digits % 10 == 0; best.digits /= 10)
        best.exponent++;
    return best;
}

static __attribute__((noinline)) size_t put_digits(uint64_t digits, char out[20])
{
    char reversed[20];
    size_t count = 0;
    do
        reversed[count++] = (char)('0' + digits % 10);
    while ((digits /= 10) != 0);
    for (size_t i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    return count;
}

/* d.ddde+XX, at least two digits of exponent, as C's %g. */
static char *put_scientific(const char *digits, size_t count, int exponent, char *out)
{
    *out++ = digits[0];
    if (count > 1) {
        *out++ = '.';
        memcpy(out, digits + 1, count - 1);
        out += count - 1;
    }
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
    if (size < 10)
        *out++ = '0';
    return out + put_digits(size, out);
}

/* `exponent` is that of the first digit, -4 to 14. */
static char *put_positional(const char *digits, size_t count, int exponent, char *out)
{
    if (exponent < 0) {
        size_t zeros = (size_t)-exponent - 1;
        memcpy(out, "0.0000", 2 + zeros);
        memcpy(out + 2 + zeros, digits, count);
        return out + 2 + zeros + count;
    }
    size_t whole = (size_t)exponent + 1;
    if (count <= whole) {
        memcpy(out, digits, count);
        memset(out + count, '0', whole - count);
        return out + whole;
    }
    memcpy(out, digits, whole);
    out[whole] = '.';
    memcpy(out + whole + 1, digits + whole, count - whole);
    return out + count + 1;
}

/* Each of 0 to 999 as three digits, and how many bytes of ".ddd" remain without the zeros at its end. */
#define TRIPLE(h, t, u)                                                                                                \
    {                                                                                                                  \
        '0' + (h), '0' + (t), '0' + (u), (u) != 0 ? 4 : (t) != 0 ? 3 : (h) != 0 ? 2 : 0                                \
    }
#define TEN(h, t)                                                                                                      \
    TRIPLE(h, t, 0), TRIPLE(h, t, 1), TRIPLE(h, t, 2), TRIPLE(h, t, 3), TRIPLE(h, t, 4), TRIPLE(h, t, 5),              \
        TRIPLE(h, t, 6), TRIPLE(h, t, 7), TRIPLE(h, t, 8), TRIPLE(h, t, 9)
#define HUNDRED(h)                                                                                                     \
    TEN(h, 0), TEN(h, 1), TEN(h, 2), TEN(h, 3), TEN(h, 4), TEN(h, 5), TEN(h, 6), TEN(h, 7), TEN(h, 8), TEN(h, 9)
static const char triples[1000][4] = {HUNDRED(0), HUNDRED(1), HUNDRED(2), HUNDRED(3), HUNDRED(4),
                                      HUNDRED(5), HUNDRED(6), HUNDRED(7), HUNDRED(8), HUNDRED(9)};

/* Measured values mostly have few decimals, and need no search: a decimal of at most 15 digits that reads back as the
 * value is the only one so short. Lengths of values differ at random, which a branch would guess wrongly: both ends are
 * cut by sums instead. Returns the end, or NULL; at most 17 bytes at `at` are touched. */
static char *put_few_decimals(double value, char *at)
{
    if (value >= 1e12)
        return NULL;
    int64_t scaled = (int64_t)(value * 1000 + 0.5);
    if ((double)scaled / 1000 != value)
        return NULL;
    uint64_t whole = (uint64_t)scaled / 1000;
    const char *decimals = triples[(uint64_t)scaled % 1000];
    if (whole < 1000) {
        unsigned zeros = (whole < 100) + (whole < 10);
        uint32_t digits; /* little endian: the first is the lowest */
        memcpy(&digits, triples[whole], sizeof(digits));
        digits = le32toh(digits) >> (8 * zeros);
        digits = htole32(digits);
        memcpy(at, &digits, sizeof(digits));
        at += 3 - zeros;
    } else {
        at += put_digits(whole, at);
    }
    at[0] = '.';
    memcpy(at + 1, decimals, 3);
    return at + decimals[3];
}

/* Not inlined, nor is put_digits: the short way then needs no registers saved. `bits` is a positive value's. */
static __attribute__((noinline)) char *put_shortest(uint64_t bits, char *at)
{
    char digits[20];
    struct decimal best = shortest(bits & (((uint64_t)1 << 52) - 1), (int)(bits >> 52));
    size_t count = put_digits(best.digits, digits);
    int exponent = best.exponent + (int)count - 1;
    return exponent < -4 || exponent >= 15 ? put_scientific(digits, count, exponent, at)
                                           : put_positional(digits, count, exponent, at);
}

size_t decimal_format(double value, char out[DECIMAL_TEXT_SIZE])
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    *out = '-';
    char *at = out + (bits >> 63);
    char *end = put_few_decimals(fabs(value), at);
    if (end == NULL)
        end = put_shortest(bits & UINT64_MAX >> 1, at);
    return (size_t)(end - out);
}
