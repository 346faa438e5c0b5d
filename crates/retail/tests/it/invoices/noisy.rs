//! Invoices as scanners give them.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "letters where digits belong",
        text: "FACTURA A   N° OOO1-OOOO1234
Fecha: O5/O3/2O24
Emisor: BAZAR SOL SA   CUIT: 3O-71234S67-1
Cliente: LIZ BOSSI SRL   CUIT: 30-7O987654-2
Cantidad   Descripcion        Precio      Importe
2          Olla BZ-10         1O.OOO,00   20.0O0,00
Neto gravado:                             20.000,O0
IVA 2l%:                                   4.2OO,00
Total:                                    24.200,00
CAE: 741234S6789O12   Vto CAE: l5/O3/2024
",
        facts: &[
            ("/number", "-"),
            ("/issue_date", "2024-03-05"),
            ("/issuer/cuit", "30-71234567-1"),
            ("/issuer/name", "BAZAR SOL SA"),
            ("/receiver/cuit", "30-70987654-2"),
            ("/receiver/name", "LIZ BOSSI SRL"),
            ("/items/0/description", "Olla BZ-10"),
            ("/items/0/unit_price", "10000.00"),
            ("/totals/vat/0/rate", "21"),
            ("/totals/total", "24200.00"),
            ("/authorization/number", "74123456789012"),
            ("/authorization/due_date", "2024-03-15"),
        ],
        codes: &["number-format", "ocr-repaired"],
    },
    Case {
        name: "ragged columns",
        text: "   FACTURA    B          N°   0009-00000001
 Fecha   :  07/07/2024
    CUIT   30-71234567-1
  Cant.     Descripcion                   P.Unit         Importe
 3   Vaso   de   vidrio            1.200,00     3.600,00
     12 Cuchara        sopera   800,00            9.600,00
1      Bandeja     redonda                 4.300,00 4.300,00
                    TOTAL          $    17.500,00
  CAE  74123456789012      Vto  17/07/2024
",
        facts: &[
            ("/letter", "B"),
            ("/number", "0009-00000001"),
            ("/items", "3"),
            ("/items/0/description", "Vaso de vidrio"),
            ("/items/1/quantity", "12"),
            ("/totals/total", "17500.00"),
        ],
        codes: &[],
    },
    Case {
        name: "no header and no table, only lines that add up",
        text: "Almacén Doña Rosa
Factura C 0001-00000777
20-40111222-8
Fecha 9/9/24
Pan francés 2 kg 1.800,00 3.600,00
Queso de rallar 0,350 kg 12.000,00 4.200,00
2 x Gaseosa cola 2,25 l 2.500,00 5.000,00
Total 12.800,00
CAE 74123456789012 Vto. CAE 19/09/24
",
        facts: &[
            ("/issuer/cuit", "20-40111222-8"),
            ("/issue_date", "2024-09-09"),
            ("/items", "3"),
            ("/items/0/description", "Pan francés"),
            ("/items/0/unit", "kg"),
            ("/items/1/quantity", "0.350"),
            ("/items/2/quantity", "2"),
            ("/items/2/description", "Gaseosa cola 2,25 l"),
        ],
        codes: &[],
    },
    Case {
        name: "pipes between columns and price before quantity",
        text: "NOTA DE DEBITO B | COD. 07
N° 0002-00000044
Fecha: 01/02/2024
CUIT: 33-50123456-2
| Producto | Precio | Cantidad | Importe |
| Interés por mora | 1.500,00 | 2 | 3.000,00 |
| Gastos bancarios | 700,00 | 1 | 700,00 |
Total | $ 3.700,00
CAE: 74123456789012
Vto.: 11/02/2024
",
        facts: &[
            ("/kind", "nota-de-debito"),
            ("/items", "2"),
            ("/items/0/quantity", "2"),
            ("/items/0/unit_price", "1500.00"),
            ("/items/1/quantity", "1"),
            ("/totals/total", "3700.00"),
        ],
        codes: &[],
    },
    Case {
        name: "CUIT, number and date with gaps, receiver first",
        text: "Cliente: ESTUDIO PAZ   CUIT 20 - 30123456 - 3
Proveedor: GRAFICA TRES SRL   CUIT 30 - 71234567 - 1
FACTURA A   0003 - 00000888
Fecha: 12 / 12 / 2024
Cantidad Descripcion Precio Importe
1000 Tarjetas personales 25,00 25.000,00
Neto gravado 25.000,00 IVA 21% 5.250,00 Total 30.250,00
CAE: 7412345 6789012 Vto CAE: 22/12/2024
",
        facts: &[
            ("/issuer/cuit", "30-71234567-1"),
            ("/receiver/cuit", "20-30123456-3"),
            ("/number", "0003-00000888"),
            ("/issue_date", "2024-12-12"),
            ("/totals/net", "25000.00"),
            ("/totals/vat/0/amount", "5250.00"),
            ("/totals/total", "30250.00"),
            ("/authorization/number", "74123456789012"),
        ],
        codes: &[],
    },
];
