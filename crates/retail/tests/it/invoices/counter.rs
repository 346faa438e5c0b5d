//! What lies on the counter: Facturas B and C, tickets, credit notes, bad scans.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "shop with a discount for cash and the VAT inside told by law",
        text: "   B        SUPER LA ESQUINA
COD.06      de Gómez, Juan Carlos
FACTURA N°: 0007-00000321
FECHA: 5/1/25
C.U.I.T. Nº 20-30123456-3
A CONSUMIDOR FINAL

2 u  Leche entera 1L        $ 1.450,00    $ 2.900,00
0,455 kg Jamon cocido       $ 12.900      $ 5.869,50
1 Pan lactal                $ 2.300,00    $ 2.300,00
Descuento efectivo 10%                    -$ 1.106,95
TOTAL                                     $ 9.962,55

IVA contenido (Ley 27.743)  $ 1.729,03
C.A.E. 75111222333444    VTO. 15/01/2025
",
        facts: &[
            ("/letter", "B"),
            ("/issue_date", "2025-01-05"),
            ("/items", "3"),
            ("/items/1/quantity", "0.455"),
            ("/items/1/unit_price", "12900"),
            ("/totals/discount", "1106.95"),
            ("/totals/vat_contained", "1729.03"),
            ("/totals/total", "9962.55"),
        ],
        codes: &[],
    },
    Case {
        name: "monotributo with hours and no thousands separators",
        text: "FACTURA C  cod 011
Punto de Venta: 00002 Comp. Nro: 00000089
Fecha de Emisión: 28/02/2025
PEREZ MARIA LAURA
CUIT: 20-12345678-6
Responsable Monotributo
Señor(es): CLUB SOCIAL Y DEPORTIVO   CUIT: 30-70987654-2
Período Facturado Desde: 01/02/2025 Hasta: 28/02/2025 Fecha de Vto. para el pago: 10/03/2025
Servicio de limpieza mensual    1,00   unidades  180000,00   0,00  0,00  180000,00
Horas extra                     6,50   horas       4500,00   0,00  0,00   29250,00
Subtotal: $ 209250,00
Importe Otros Tributos: $ 0,00
Importe Total: $ 209250,00
CAE N°: 75222333444555
Fecha de Vto. de CAE: 10/03/2025
",
        facts: &[
            ("/letter", "C"),
            ("/number", "00002-00000089"),
            ("/due_date", "2025-03-10"),
            ("/items", "2"),
            ("/items/1/description", "Horas extra"),
            ("/items/1/unit", "horas"),
            ("/items/1/quantity", "6.50"),
            ("/totals/total", "209250.00"),
        ],
        codes: &[],
    },
    Case {
        name: "credit note with negative amounts and the invoice it cancels",
        text: "NOTA DE CREDITO A     COD. 003
Nº 0012-00000777
Fecha: 20/03/2025
DISTRIBUIDORA LITORAL S.R.L.   CUIT 30-71234567-1
Cliente: ALMACENES DEL SUR S.A.  CUIT 30-70987654-2
Comprobante asociado: Factura A 00012-00045871 del 14/03/2025
Motivo: devolución de mercadería
Cant.  Descripción                 P. Unit.     Total
  -2   Yerba mate x 1kg            2.042,50   -4.085,00
Neto gravado     -4.085,00
IVA 21%            -857,85
TOTAL            -4.942,85
CAE: 75333444555666 Vto: 30/03/2025
",
        facts: &[
            ("/kind", "nota-de-credito"),
            ("/number", "0012-00000777"),
            ("/issue_date", "2025-03-20"),
            ("/items/0/quantity", "-2"),
            ("/items/0/total", "-4085.00"),
            ("/totals/vat/0/amount", "-857.85"),
            ("/totals/total", "-4942.85"),
        ],
        codes: &[],
    },
    Case {
        name: "letters for digits, also in quantities that the line confirms",
        text: "FACTURA  A     N° 0003-00005521
Fecha : l2/O2/2025
METALURGICA  OESTE  S.A.        CUIT: 30-7l234567-1
Cliente : TALLERES  REUNIDOS SRL   CUIT : 30 - 70987654 - 2
Cant.   Detalle                      P.Unitario       Importe
 1O     Perfil angulo 1 1/2 x 3/16    l8.500,00       185.000,00
  S     Disco de corte 115mm           2.3OO,50        11.502,50
Neto Gravado                                          196.502,50
I.V.A. 21,00%                                          41.265,53
Total  $                                              237.768,03
C.A.E.: 7544455566G777      Vto. C.A.E.: 22/O2/2025
",
        facts: &[
            ("/issuer/cuit", "30-71234567-1"),
            ("/issuer/name", "METALURGICA OESTE S.A."),
            ("/receiver/name", "TALLERES REUNIDOS SRL"),
            ("/items/0/quantity", "10"),
            ("/items/0/description", "Perfil angulo 1 1/2 x 3/16"),
            ("/items/1/quantity", "5"),
            ("/items/1/unit_price", "2300.50"),
            ("/authorization", "-"),
            ("/totals/total", "237768.03"),
        ],
        codes: &["authorization-missing", "ocr-repaired"],
    },
    Case {
        name: "fiscal ticket, which has no CAE",
        text: r#"      KIOSCO 24 HS
     CUIT NRO.: 20-40111222-8
   IVA RESPONSABLE INSCRIPTO
      A CONSUMIDOR FINAL
TIQUE FACTURA "B" (Cod. 082)
P.V. Nro. 00005  Nro. T. 00018823
FECHA 11/05/25   HORA 21:34:09
2,000 x 1.350,0000
GASEOSA COLA 500ML (21,00)          2.700,00
1,000 x 890,0000
ALFAJOR TRIPLE (21,00)                890,00
SUBTOTAL                            3.590,00
TOTAL                               3.590,00
EFECTIVO                            4.000,00
SU VUELTO                             410,00
"#,
        facts: &[
            ("/afip_code", "82"),
            ("/number", "00005-00018823"),
            ("/items", "2"),
            ("/items/0/description", "GASEOSA COLA 500ML"),
            ("/items/0/quantity", "2.000"),
            ("/totals/total", "3590.00"),
        ],
        codes: &[],
    },
    Case {
        name: "four things wrong at once",
        text: "FACTURA A N° 0006-00000100
Fecha: 31/04/2025
FRIGORIFICO PAMPA SA CUIT: 30-71234567-2
Cliente: CARNICERIA EL TORO CUIT: 20-30123456-3
Kg Detalle Precio Importe
125,500 Media res 4.850,00 608.675,00
38,20 Bola de lomo 7.900,00 301.780,00
Neto 910.455,00
IVA 10,5% 95.597,78
Total 1.006.502,78
CAE: 7512345678901 Vto CAE: 10/05/2025
",
        facts: &[
            ("/issuer/cuit", "30-71234567-2"),
            ("/issue_date", "31/04/2025"),
            ("/items/0/quantity", "125.500"),
            ("/totals/total", "1006502.78"),
        ],
        codes: &[
            "authorization-length",
            "cuit-check-digit",
            "date-impossible",
            "totals-sum",
        ],
    },
    Case {
        name: "every column on a line of its own",
        text: "FACTURA
B
Cód. 06
Nº 00003-00009871
Fecha de Emisión: 09/08/2025
MUEBLES PINO S.H.
CUIT: 33-50123456-2
Cliente: Ana Torres DNI: 28.456.789
Descripción
Cantidad
Precio Unit.
Subtotal
Silla Windsor
4
38.500,00
154.000,00
Mesa extensible
1
210.000,00
210.000,00
Importe Total: $ 364.000,00
CAE N°: 75121212121212
Fecha de Vto. de CAE: 19/08/2025
",
        facts: &[
            ("/letter", "B"),
            ("/number", "00003-00009871"),
            ("/issuer/name", "MUEBLES PINO S.H."),
            ("/receiver/name", "Ana Torres"),
            ("/items", "0"),
            ("/totals/total", "364000.00"),
        ],
        codes: &["items-missing"],
    },
];
