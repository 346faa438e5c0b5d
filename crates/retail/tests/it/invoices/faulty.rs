//! Invoices with faults, each of which has to be reported and none of which may be put right in silence.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "total that doesn't add up",
        text: "FACTURA A N° 0001-00000010
Fecha: 05/03/2024
Emisor: UNO SA CUIT: 30-71234567-1
Cliente: DOS SRL CUIT: 30-70987654-2
Cantidad Descripcion Precio Importe
2 Silla plegable 10.000,00 20.000,00
Neto gravado: 20.000,00
IVA 21%: 4.200,00
Total: 25.200,00
CAE: 74123456789012 Vto CAE: 15/03/2024
",
        facts: &[("/totals/total", "25200.00"), ("/totals/net", "20000.00")],
        codes: &["totals-sum"],
    },
    Case {
        name: "line that doesn't add up",
        text: "FACTURA B N° 0001-00000011
Fecha: 05/03/2024
CUIT: 30-71234567-1
Cantidad Descripcion Precio Importe
3 Mesa ratona 10.000,00 20.000,00
1 Lámpara de pie 5.000,00 5.000,00
Total: 25.000,00
CAE: 74123456789012 Vto CAE: 15/03/2024
",
        facts: &[
            ("/items", "2"),
            ("/items/0/quantity", "3"),
            ("/items/0/total", "20000.00"),
        ],
        codes: &["line-total"],
    },
    Case {
        name: "lines that don't add up to the subtotal",
        text: "FACTURA B N° 0001-00000012
Fecha: 05/03/2024
CUIT: 30-71234567-1
Cantidad Descripcion Precio Importe
1 Mesa ratona 10.000,00 10.000,00
1 Lámpara de pie 5.000,00 5.000,00
Subtotal: 16.000,00
Total: 16.000,00
CAE: 74123456789012 Vto CAE: 15/03/2024
",
        facts: &[("/totals/subtotal", "16000.00")],
        codes: &["lines-sum"],
    },
    Case {
        name: "VAT that doesn't match its rate",
        text: "FACTURA A N° 0001-00000013
Fecha: 05/03/2024
Emisor: UNO SA CUIT: 30-71234567-1
Cliente: DOS SRL CUIT: 30-70987654-2
Cantidad Descripcion Precio Importe
2 Silla plegable 10.000,00 20.000,00
Neto gravado: 20.000,00
IVA 10,5%: 4.200,00
Total: 24.200,00
CAE: 74123456789012 Vto CAE: 15/03/2024
",
        facts: &[("/totals/vat/0/rate", "10.5")],
        codes: &["vat-amount"],
    },
    Case {
        name: "two rates that don't fit the net amount, and one that doesn't exist",
        text: "FACTURA A N° 0001-00000014
Fecha: 05/03/2024
Emisor: UNO SA CUIT: 30-71234567-1
Cliente: DOS SRL CUIT: 30-70987654-2
Cantidad Descripcion Precio Importe
2 Silla plegable 10.000,00 20.000,00
Neto gravado: 20.000,00
IVA 21%: 2.100,00
IVA 19%: 1.000,00
Total: 23.100,00
CAE: 74123456789012 Vto CAE: 15/03/2024
",
        facts: &[("/totals/vat", "2")],
        codes: &["vat-amount", "vat-rate"],
    },
    Case {
        name: "check digit of the issuer",
        text: "FACTURA B N° 0001-00000015
Fecha: 05/03/2024
CUIT: 30-71234567-2
Cantidad Descripcion Precio Importe
1 Mesa ratona 10.000,00 10.000,00
Total: 10.000,00
CAE: 74123456789012 Vto CAE: 15/03/2024
",
        facts: &[("/issuer/cuit", "30-71234567-2")],
        codes: &["cuit-check-digit"],
    },
    Case {
        name: "days that don't exist",
        text: "FACTURA B N° 0001-00000016
Fecha: 31/02/2024   Vencimiento: 03/25/2024
CUIT: 30-71234567-1
Cantidad Descripcion Precio Importe
1 Mesa ratona 10.000,00 10.000,00
Total: 10.000,00
CAE: 74123456789012 Vto CAE: 15/03/2024
",
        facts: &[("/issue_date", "31/02/2024"), ("/due_date", "03/25/2024")],
        codes: &["date-impossible"],
    },
    Case {
        name: "due before it was issued, same party twice, CAE too short",
        text: "FACTURA A N° 0001-00000017
Fecha: 20/03/2024   Vencimiento: 10/03/2024
Emisor: UNO SA CUIT: 30-71234567-1
Cliente: DOS SRL CUIT: 30-71234567-1
Cantidad Descripcion Precio Importe
1 Mesa ratona 10.000,00 10.000,00
Neto: 10.000,00
IVA 21%: 2.100,00
Total: 12.100,00
CAE: 7412345678901 Vto CAE: 30/03/2024
",
        facts: &[("/authorization/number", "7412345678901")],
        codes: &["authorization-length", "cuit-same", "date-order"],
    },
    Case {
        name: "code of another voucher, VAT on a C",
        text: "FACTURA C    COD. 06
N° 0001-00000018
Fecha: 20/03/2024
CUIT: 27-28765432-9
Cantidad Descripcion Precio Importe
1 Mesa ratona 10.000,00 10.000,00
Neto: 10.000,00
IVA 21%: 2.100,00
Total: 12.100,00
CAE: 74123456789012 Vto CAE: 30/03/2024
",
        facts: &[("/letter", "C"), ("/afip_code", "6")],
        codes: &["vat-letter", "voucher-code"],
    },
    Case {
        name: "amounts that can be read in two ways",
        text: "FACTURA B N° 0001-00000019
Fecha: 20/03/2024
CUIT: 27-28765432-9
Cantidad Descripcion Precio Importe
2 Mesa ratona 1.500 3.000
Total: 3.000
CAE: 74123456789012 Vto CAE: 30/03/2024
",
        facts: &[
            ("/totals/total", "3000"),
            ("/items/0/unit_price", "1500"),
            ("/items/0/total", "3000"),
        ],
        codes: &["amount-ambiguous"],
    },
    Case {
        name: "comma and point for decimals in one document",
        text: "FACTURA B N° 0001-00000020
Fecha: 20/03/2024
CUIT: 27-28765432-9
Cantidad Descripcion Precio Importe
2 Mesa ratona 1,500.50 3,001.00
Total: 3.001,00
CAE: 74123456789012 Vto CAE: 30/03/2024
",
        facts: &[
            ("/totals/total", "3001.00"),
            ("/items/0/unit_price", "1500.50"),
        ],
        codes: &["mixed-formats"],
    },
    Case {
        name: "several totals and a negative one",
        text: "FACTURA B N° 0001-00000021
Fecha: 20/03/2024
CUIT: 27-28765432-9
Cantidad Descripcion Precio Importe
2 Mesa ratona 1.000,00 2.000,00
Total: 2.000,00
Importe total: -2.500,00
CAE: 74123456789012 Vto CAE: 30/03/2024
",
        facts: &[("/totals/total", "-2500.00")],
        codes: &["lines-sum", "negative", "total-several"],
    },
    Case {
        name: "a letter that isn't an invoice",
        text: "Estimado cliente: le recordamos que el local permanecerá cerrado por vacaciones.
Saludos cordiales.",
        facts: &[("/kind", "-"), ("/items", "0"), ("/totals/total", "-")],
        codes: &[
            "authorization-missing",
            "cuit-missing",
            "date-missing",
            "items-missing",
            "number-format",
            "total-missing",
            "voucher-kind",
        ],
    },
    Case {
        name: "line without a price",
        text: "FACTURA B N° 0001-00000022
Fecha: 20/03/2024
CUIT: 27-28765432-9
Cantidad Descripcion Precio Importe
2 Mesa ratona 1.000,00 2.000,00
Flete a domicilio 500,00
Total: 2.500,00
CAE: 74123456789012 Vto CAE: 30/03/2024
",
        facts: &[
            ("/items", "2"),
            ("/items/1/description", "Flete a domicilio"),
            ("/items/1/total", "500.00"),
        ],
        codes: &["item-incomplete"],
    },
];
